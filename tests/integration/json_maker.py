"""Makes JSON values from the JSON Schemas of /openapi.json: valid ones, and ones with one thing wrong."""
import random
import string

STRANGE = ["", " ", "\n", "\t", "\x7f", "\x00", "\x1f", "é", "日本", "\u202e", "😀", "'", '"', "\\", "%00", "../..", "{}", "null", "0"]
HUGE = [2**31, -2**31 - 1, 2**53, 2**63 - 1, 2**63, -2**63, -2**63 - 1, 2**64, 10**30, 1e300, -1e300, 0.5, -0.0]


class Maker:
    """`names`: texts for fields of these names, which exist on the server."""

    def __init__(self, document, seed, names):
        self.random = random.Random(seed)
        self.schemas = document["components"]["schemas"]
        self.names = names

    def resolve(self, schema):
        while "$ref" in schema:
            schema = self.schemas[schema["$ref"].rsplit("/", 1)[1]]
        return schema

    # Valid values.

    def valid(self, schema, key=""):
        schema = self.resolve(schema)
        if "oneOf" in schema:
            return self.valid_case(schema, key)
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self.random.choice(schema["enum"])
        kind = schema.get("type")
        if isinstance(kind, list):  # null rarely: it stands for an absent field
            kind = self.random.choice([k for k in kind for _ in range(1 if k == "null" else 9)])
        make = {"object": self.valid_object, "array": self.valid_array, "string": self.valid_text,
                "integer": self.valid_integer, "number": lambda s, k: self.random.choice([0, 1, 0.5, -3.25, 1e9]),
                "boolean": lambda s, k: self.random.choice([True, False]), "null": lambda s, k: None}
        return make[kind](schema, key) if kind else self.anything(2)

    def valid_case(self, schema, key):
        case = self.random.choice(schema["oneOf"])
        if "type" in case or "$ref" in case:
            return self.valid(case, key)
        # Cases that only say what is required: the fields of the others are left out.
        others = {name for other in schema["oneOf"] for name in other["required"]} - set(case["required"])
        rest = {k: v for k, v in schema.items() if k != "oneOf"}
        rest["required"] = [*schema.get("required", []), *case["required"]]
        rest["properties"] = {k: v for k, v in schema["properties"].items() if k not in others}
        return self.valid(rest, key)

    def valid_object(self, schema, key):
        fields = schema.get("properties", {})
        required = set(schema.get("required", []))
        if "anyOf" in schema:
            required |= set(self.random.choice(schema["anyOf"])["required"])
        often = self.random.choice([0.1, 0.4, 0.9])
        chosen = [name for name in fields if name in required or self.random.random() < often]
        while fields and len(chosen) < schema.get("minProperties", 0):
            chosen = [self.random.choice(list(fields))]
        made = {}
        for name in chosen:
            field = self.resolve(fields[name])
            made[name] = self.valid(field, name)
            while made[name] is None and name in required and field.get("type") != "null":
                made[name] = self.valid(field, name)
        extra = schema.get("additionalProperties", True)
        if isinstance(extra, dict):
            made |= {self.word(): self.valid(extra) for _ in range(self.random.randrange(3))}
        elif extra and not fields:
            made |= {self.word(): self.anything(2) for _ in range(self.random.randrange(3))}
        return made

    def valid_array(self, schema, key):
        least = schema.get("minItems", 0)
        most = min(schema.get("maxItems", 4), least + 3)
        return [self.valid(schema["items"], key) for _ in range(self.random.randint(least, most))]

    def valid_integer(self, schema, key):
        low, high = schema.get("minimum", -2**63), schema.get("maximum", 2**63 - 1)
        return self.random.choice([low, high, min(low + 1, high), self.random.randint(low, high),
                                   min(max(self.random.randint(0, 5), low), high)])

    def valid_text(self, schema, key):
        if key in self.names and self.random.random() < 0.8:
            return self.random.choice(self.names[key])
        pattern = schema.get("pattern", "")
        if r"\d{4}-" in pattern:
            return self.random.choice(["2026-11-21", "2026-11-21T10:05:00Z", "1999-01-31T23:59:60.5Z"])
        if pattern.startswith("^[0-9]+(-"):
            return self.random.choice(["0", "0-1", "1,0,0", "3", "0-99999", "18446744073709551616"])
        if r"\.\d+" in pattern:
            return self.random.choice(["0.0.0.0", "5.0.0.1", "99999999999999999999.0.0.0"])
        longest = min(schema.get("maxLength", 40), 300)
        label = "\\u001f" in pattern
        for _ in range(20):
            text = self.word() if self.random.random() < 0.7 else "".join(
                self.random.choice([*STRANGE, self.word()]) for _ in range(self.random.randrange(5)))
            if self.random.random() < 0.05:
                text = "é" * longest
            bad = any(c < " " or c == "\x7f" for c in text) if label else "\x00" in text
            if schema.get("minLength", 0) <= len(text) <= longest and not bad:
                return text
        return "x"

    # Values without a schema.

    def word(self):
        return "".join(self.random.choice(string.ascii_lowercase) for _ in range(self.random.randint(1, 8)))

    def anything(self, depth):
        choices = [lambda: None, lambda: True, lambda: self.random.choice(HUGE), lambda: self.random.randrange(9),
                   lambda: self.random.choice(STRANGE), lambda: self.word()]
        if depth > 0:
            choices += [lambda: [self.anything(depth - 1) for _ in range(self.random.randrange(3))],
                        lambda: {self.word(): self.anything(depth - 1) for _ in range(self.random.randrange(3))}]
        return self.random.choice(choices)()

    def deep(self):
        value = []
        for _ in range(self.random.choice([40, 70, 500])):
            value = [value] if self.random.random() < 0.5 else {"a": value}
        return value

    # Something wrong somewhere.

    def mutated(self, value):
        """A copy of `value` with one change at a random place. It may happen to be valid still."""
        if isinstance(value, dict) and value and self.random.random() < 0.8:
            key = self.random.choice(list(value))
            return {**value, key: self.mutated(value[key])}
        if isinstance(value, list) and value and self.random.random() < 0.7:
            at = self.random.randrange(len(value))
            return [*value[:at], self.mutated(value[at]), *value[at + 1:]]
        if isinstance(value, dict):
            change = self.random.randrange(3)
            if change == 0 and value:
                gone = self.random.choice(list(value))
                return {k: v for k, v in value.items() if k != gone}
            if change == 1:
                return {**value, self.random.choice([self.word(), "", "\x00", "id", "__proto__"]): self.anything(1)}
        if isinstance(value, list) and self.random.random() < 0.5:
            return value + [self.anything(1)] * self.random.choice([1, 70, 2100])
        if isinstance(value, str) and self.random.random() < 0.5:
            return self.random.choice([value + self.random.choice(STRANGE), "x" * 257, "é" * 257, "x" * 70000, ""])
        if isinstance(value, (int, float)) and self.random.random() < 0.5:
            return self.random.choice(HUGE)
        return self.deep() if self.random.random() < 0.1 else self.anything(2)
