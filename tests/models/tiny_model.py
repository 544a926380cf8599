"""Writes a language model of 60 kB with random weights, in the format of llama.cpp: python3 tiny_model.py FILE. Needs gguf.

It speaks nonsense, one character a token, and as much of it at every temperature as a real model would: what is
real is all around it, the server's protocol, its chat template, its grammars and its counts of tokens.
"""
import sys

import gguf
import numpy

WIDTH, HEADS, FEED_FORWARD, LAYERS, CONTEXT = 32, 2, 64, 2, 8192
CONTROLS = ["<unk>", "<s>", "</s>"]
BYTES = [f"<0x{byte:02X}>" for byte in range(256)]
CHARACTERS = [chr(code) for code in range(0x20, 0x7F)]
# How likely a token is whatever was said before it. Strings, objects and texts are to end, numbers to be small; and no
# backslashes, for grammars let halves of surrogate pairs through, which are no JSON.
LIKELY = {'"': 0.9, "}": 1.6, "</s>": 0.2, "\\": -2, **{digit: 0.3 for digit in "12345"}, **{letter: 0.3 for letter in "etaoinshrdlu"}}
CHAT = ("{% for message in messages %}<{{ message['role'] }}>{{ message['content'] }}\n{% endfor %}"
        "{% if add_generation_prompt %}<assistant>{% endif %}")


def vocabulary(writer):
    # A space is U+2581 in a vocabulary of SentencePiece.
    tokens = CONTROLS + BYTES + [c.replace(" ", "\u2581") for c in CHARACTERS]
    kinds = [gguf.TokenType.UNKNOWN] + [gguf.TokenType.CONTROL] * 2
    kinds += [gguf.TokenType.BYTE] * len(BYTES) + [gguf.TokenType.NORMAL] * len(CHARACTERS)
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_scores([0.0] * len(tokens))
    writer.add_token_types(kinds)
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_add_space_prefix(False)
    writer.add_chat_template(CHAT)
    return tokens


def weights(writer, tokens):
    """The first dimension of the stream is the same for every token and nothing in between reads or writes it, so
    the last matrix makes each token's own likelihood of it; the others are noise that depends on all that was said."""
    random = numpy.random.default_rng(1)

    def noise(scale, *shape):
        return (random.standard_normal(shape) * scale).astype(numpy.float32)

    def add(name, rows, columns, scale):
        matrix = noise(scale, rows, columns)
        if columns == WIDTH:
            matrix[:, 0] = 0
        if rows == WIDTH:
            matrix[0, :] = 0
        writer.add_tensor(name, matrix)

    embedding = noise(0.4, len(tokens), WIDTH)
    embedding[:, 0] = 8
    writer.add_tensor("token_embd.weight", embedding)
    for layer in range(LAYERS):
        block = f"blk.{layer}."
        for norm in ("attn_norm", "ffn_norm"):
            writer.add_tensor(f"{block}{norm}.weight", numpy.ones(WIDTH, dtype=numpy.float32))
        add(f"{block}attn_q.weight", WIDTH, WIDTH, 1.5)
        add(f"{block}attn_k.weight", WIDTH, WIDTH, 1.5)
        add(f"{block}attn_v.weight", WIDTH, WIDTH, 0.6)
        add(f"{block}attn_output.weight", WIDTH, WIDTH, 0.4)
        add(f"{block}ffn_gate.weight", FEED_FORWARD, WIDTH, 0.3)
        add(f"{block}ffn_up.weight", FEED_FORWARD, WIDTH, 0.3)
        add(f"{block}ffn_down.weight", WIDTH, FEED_FORWARD, 0.2)
    writer.add_tensor("output_norm.weight", numpy.ones(WIDTH, dtype=numpy.float32))
    output = noise(0.4, len(tokens), WIDTH)
    output[:, 0] = [LIKELY.get(token, 0 if token in CHARACTERS else -12) for token in tokens]
    writer.add_tensor("output.weight", output)


def main():
    writer = gguf.GGUFWriter(sys.argv[1], "llama")
    writer.add_name("tiny")
    writer.add_block_count(LAYERS)
    writer.add_context_length(CONTEXT)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(FEED_FORWARD)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(WIDTH // HEADS)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)
    tokens = vocabulary(writer)
    writer.add_vocab_size(len(tokens))
    weights(writer, tokens)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


if __name__ == "__main__":
    main()
