#include "daemon/llm/models.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <toml++/toml.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <functional>

#include "core/fd.hpp"
#include "core/settings.hpp"

namespace assay::llm {
namespace {

constexpr size_t kFileLimit = 4 << 20;
constexpr size_t kKeyLimit = 16 << 10;
constexpr size_t kNameLimit = 256;

struct Api {
  std::string_view name;
  Dialect dialect;
};
constexpr std::array<Api, 3> kApis = {{{"chat.completions", Dialect::openai_chat},
                                       {"responses", Dialect::openai_responses},
                                       {"messages", Dialect::anthropic_messages}}};

/// The faults found so far, a line each.
class Faults {
 public:
  explicit Faults(std::string path) : path_(std::move(path)) {}
  void add(const toml::node& node, const std::string& what) {
    text_ +=
        (text_.empty() ? "" : "\n") + path_ + ":" + std::to_string(node.source().begin.line) + ": " + what;
  }
  const std::string& text() const { return text_; }

 private:
  std::string path_, text_;
};

/// The members of one table: each is taken once by its name, what is left over is unknown.
class Table {
 public:
  Table(const toml::table& table, std::string name, Faults& faults)
      : table_(table), name_(std::move(name)), faults_(faults) {}

  bool has(std::string_view key) const { return table_.contains(key); }
  void fault(std::string_view key, const std::string& what) const {
    const toml::node* node = key.empty() ? nullptr : table_.get(key);
    faults_.add(node != nullptr ? *node : table_, key.empty() ? name_ + " " + what : at(key) + " " + what);
  }
  void take(std::string_view key, std::string& into) {
    if (const toml::node* node = find(key)) {
      if (const auto* text = node->as_string(); text != nullptr && text->get().size() <= 4096)
        into = text->get();
      else
        fault(key, "must be a string");
    }
  }
  void take(std::string_view key, bool& into) {
    if (const toml::node* node = find(key)) {
      if (const auto* flag = node->as_boolean())
        into = flag->get();
      else
        fault(key, "must be true or false");
    }
  }
  template <class Integer>
  void take(std::string_view key, Integer& into, int64_t low, int64_t high) {
    if (const toml::node* node = find(key)) {
      const auto* number = node->as_integer();
      if (number != nullptr && number->get() >= low && number->get() <= high)
        into = static_cast<Integer>(number->get());
      else
        fault(key, "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    }
  }
  void take(std::string_view key, std::chrono::milliseconds& into) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto* text = node->as_string();
    const auto value = text != nullptr ? parse_duration(text->get()) : fail(ErrorKind::config, "");
    if (value && *value > std::chrono::milliseconds(0) && *value <= std::chrono::hours(24 * 30))
      into = *value;
    else
      fault(key, "must be a duration such as \"30s\", \"10m\" or \"1h\"");
  }
  void take(std::string_view key, std::optional<Dialect>& into) {
    std::string name;
    take(key, name);
    if (name.empty()) return;
    const auto* const known = std::ranges::find(kApis, name, &Api::name);
    if (known != kApis.end())
      into = known->dialect;
    else
      fault(key, R"(must be "chat.completions", "responses" or "messages")");
  }
  /// Names of parameters.
  void take(std::string_view key, std::vector<std::string>& into) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto* list = node->as_array();
    if (list == nullptr) return fault(key, "must be a list of parameters");
    for (const auto& element : *list) {
      const auto name = element.value<std::string>();
      if (!name || !element.is_string())
        fault(key, "must be a list of parameters");
      else if (const auto checked = check_forwardable(*name); !checked)
        fault(key, "cannot have " + checked.error().message);
      else
        into.push_back(*name);
    }
  }
  /// Dollars per million tokens.
  void take_price(std::string_view key, std::optional<int64_t>& into) {
    const toml::node* node = find(key);
    if (node == nullptr) return;
    const auto dollars = node->value<double>();
    const auto price = dollars && node->is_number() ? price_from(*dollars, at(key))
                                                    : fail(ErrorKind::config, at(key) + ": must be a number");
    if (price)
      into = *price;
    else
      faults_.add(*node, price.error().message);
  }
  const toml::table* table(std::string_view key) {
    const toml::node* node = find(key);
    if (node == nullptr) return nullptr;
    if (!node->is_table()) fault(key, "must be a table");
    return node->as_table();
  }
  void refuse_others() const {
    for (const auto& [key, node] : table_) {
      const std::string name(key.str());
      if (std::ranges::find(known_, name) != known_.end()) continue;
      const auto meant = nearest(name, known_);
      faults_.add(node, "unknown key " + at(name) + (meant ? "; did you mean " + *meant + "?" : ""));
    }
  }

 private:
  std::string at(std::string_view key) const {
    return name_.empty() ? std::string(key) : name_ + "." + std::string(key);
  }
  const toml::node* find(std::string_view key) {
    known_.emplace_back(key);
    return table_.get(key);
  }

  const toml::table& table_;
  std::string name_;
  Faults& faults_;
  std::vector<std::string> known_;
};

bool is_url(std::string_view text) {
  const bool http = text.starts_with("http://") || text.starts_with("https://");
  return http && text.size() > 8 && text.find_first_of(" \t\r\n?#") == std::string_view::npos;
}

bool has_credentials(std::string_view url) {
  const size_t host = url.find("://") + 3;
  return url.substr(host, url.find('/', host) - host).contains('@');
}

void take_key(Table& table, Provider& provider) {
  std::string credential;
  table.take("key_file", provider.key_file);
  table.take("credential", credential);
  if (!provider.key_file.empty() && !provider.key_file.starts_with('/'))
    table.fault("key_file", "must be an absolute path");
  if (credential.empty()) return;
  if (!provider.key_file.empty()) {
    table.fault("credential", "and key_file: give one of them");
    return;
  }
  const char* const folder = std::getenv("CREDENTIALS_DIRECTORY");
  if (folder == nullptr || credential.contains('/'))
    table.fault("credential",
                "names a credential of systemd (LoadCredential=), but this program has none; "
                "elsewhere use key_file");
  else
    provider.key_file = std::string(folder) + "/" + credential;
}

Provider provider_from(const toml::table& toml, const std::string& name, Faults& faults) {
  Table table(toml, "providers." + name, faults);
  Provider provider;
  provider.name = name;
  std::optional<Dialect> api;
  table.take("api", api);
  if (api) provider.endpoint.dialect = *api;
  if (!table.has("api")) table.fault("", "needs api: \"chat.completions\", \"responses\" or \"messages\"");
  table.take("base_url", provider.base_url);
  while (provider.base_url.ends_with('/')) provider.base_url.pop_back();
  if (!is_url(provider.base_url))
    table.fault(table.has("base_url") ? "base_url" : "",
                table.has("base_url") ? "must be a URL such as https://api.openai.com/v1"
                                      : "needs base_url, such as \"https://api.openai.com/v1\"");
  else if (has_credentials(provider.base_url))
    table.fault("base_url", "must not hold a user or password: use key_file");
  take_key(table, provider);
  table.take("azure", provider.endpoint.azure);
  table.take("api_version", provider.endpoint.api_version);
  table.take("ca_file", provider.ca_file);
  table.take("max_in_flight", provider.max_in_flight, 1, 10'000);
  provider.start_in_flight = std::min(provider.start_in_flight, provider.max_in_flight);
  table.take("start_in_flight", provider.start_in_flight, 1, provider.max_in_flight);
  table.take("requests_per_minute", provider.requests_per_minute, 1, 1'000'000'000);
  table.take("tokens_per_minute", provider.tokens_per_minute, 1, 1'000'000'000'000);
  table.take("max_waiting", provider.max_waiting, 1, 10'000'000);
  table.take("timeout", provider.timeout);
  table.take("give_up", provider.give_up);
  table.take("forward", provider.forward);
  table.take("image_urls", provider.image_urls);
  table.refuse_others();
  return provider;
}

std::optional<Prices> prices_from(const toml::table& toml, const std::string& name, Faults& faults) {
  Table table(toml, name, faults);
  Prices prices;
  std::optional<int64_t> input, output;
  table.take_price("input", input);
  table.take_price("output", output);
  table.take_price("cached", prices.cached);
  table.take_price("cache_write_5m", prices.cache_write_5m);
  table.take_price("cache_write_1h", prices.cache_write_1h);
  table.refuse_others();
  if (!table.has("input") || !table.has("output"))
    table.fault("", "needs input and output, in USD per million tokens; 0 is free");
  prices.input = input.value_or(0);
  prices.output = output.value_or(0);
  return prices;
}

Model model_from(const toml::table& toml, const std::string& slug, Faults& faults) {
  Table table(toml, "models.\"" + slug + "\"", faults);
  Model model;
  model.slug = slug;
  const size_t slash = slug.find('/');
  model.provider = slash == std::string::npos ? "" : slug.substr(0, slash);
  table.take("provider", model.provider);
  // What stands before the slash is the provider's, unless that is said otherwise.
  const bool prefixed = slash != std::string::npos && slug.substr(0, slash) == model.provider;
  model.name = prefixed ? slug.substr(slash + 1) : slug;
  table.take("model", model.name);
  table.take("api", model.api);
  if (const toml::table* price = table.table("price"))
    model.prices = prices_from(*price, "models.\"" + slug + "\".price", faults);
  if (table.has("max_output_tokens")) {
    int64_t tokens = 0;
    table.take("max_output_tokens", tokens, 1, kMostOutputTokens);
    model.max_output_tokens = tokens;
  }
  if (table.has("image_tokens")) {
    int64_t tokens = 0;
    table.take("image_tokens", tokens, 1, kMostOutputTokens);
    model.image_tokens = tokens;
  }
  table.take("forward", model.forward);
  model.listed = true;
  table.refuse_others();
  if (slug.empty() || slug.size() > kNameLimit) table.fault("", "must have a name of 1 to 256 bytes");
  if (model.name.empty()) table.fault("", "needs model, its name at the provider");
  return model;
}

template <class Each>
void each_table(const toml::table* tables, const std::string& name, Faults& faults, Each each) {
  if (tables == nullptr) return;
  for (const auto& [key, node] : *tables) {
    if (const auto* table = node.as_table())
      each(std::string(key.str()), *table);
    else
      faults.add(node, name + "." + std::string(key.str()) + " must be a table");
  }
}

}  // namespace

Result<Models> Models::load(const std::string& path) {
  ASSAY_TRY(const std::string text, read_file(path, kFileLimit));
  return parse(text, path);
}

Result<Models> Models::parse(std::string_view text, const std::string& path) {
  toml::table document;
  try {
    document = toml::parse(text, path);
  } catch (const toml::parse_error& e) {
    return fail(ErrorKind::config,
                path + ":" + std::to_string(e.source().begin.line) + ": " + std::string(e.description()));
  }
  Models models;
  Faults faults(path);
  Table root(document, "", faults);
  each_table(root.table("providers"), "providers", faults,
             [&](const std::string& name, const toml::table& t) {
               if (name.empty() || name.contains('/'))
                 faults.add(t, "a provider's name must not be empty or hold a /");
               models.providers_.emplace(name, provider_from(t, name, faults));
             });
  each_table(root.table("models"), "models", faults, [&](const std::string& slug, const toml::table& t) {
    auto model = model_from(t, slug, faults);
    if (!models.providers_.contains(model.provider))
      faults.add(t, "models.\"" + slug + "\" has the provider \"" + model.provider +
                        "\", of which there is no [providers." +
                        (model.provider.empty() ? "NAME" : model.provider) + "]");
    models.models_.emplace(slug, std::move(model));
  });
  root.refuse_others();
  if (!faults.text().empty()) return fail(ErrorKind::config, faults.text());
  return models;
}

std::vector<std::string> Models::slugs() const {
  std::vector<std::string> slugs;
  for (const auto& [slug, model] : models_) slugs.push_back(slug);
  return slugs;
}

std::set<std::string> Models::prefixes() const {
  std::set<std::string> prefixes;
  for (const auto& [name, provider] : providers_) prefixes.insert(name);
  for (const auto& [slug, model] : models_) prefixes.insert(slug.substr(0, slug.find('/')));
  return prefixes;
}

Result<Model> Models::find(const std::string& slug) const {
  if (const auto it = models_.find(slug); it != models_.end()) return it->second;
  const size_t slash = slug.find('/');
  if (slash != std::string::npos && slash + 1 < slug.size() && slug.size() <= kNameLimit)
    if (const auto provider = providers_.find(slug.substr(0, slash)); provider != providers_.end())
      return Model{.slug = slug, .provider = provider->first, .name = slug.substr(slash + 1)};
  const auto known = slugs();
  const auto meant = nearest(slug, known);
  return fail(ErrorKind::model_not_found,
              "model \"" + slug.substr(0, kNameLimit) +
                  "\" is neither in this worker's models.toml nor of a provider there" +
                  (meant ? "; did you mean \"" + *meant + "\"?" : ""));
}

namespace {

/// A file and nothing that could be waited for.
Result<std::string> key_in(const std::string& path, bool* is_public) {
  ASSAY_TRY(const UniqueFd fd, open_cloexec(path, O_RDONLY | O_NONBLOCK | O_NOCTTY));
  struct stat info{};
  if (::fstat(fd.get(), &info) != 0) return fail_errno(ErrorKind::config, "cannot read " + path, errno);
  if (!S_ISREG(info.st_mode)) return fail(ErrorKind::config, path + " must be a file");
  if (is_public != nullptr) *is_public = (info.st_mode & S_IROTH) != 0;
  return read_file(path, kKeyLimit);
}

}  // namespace

Result<std::string> read_key(const Provider& provider, bool* is_public) {
  if (provider.key_file.empty()) return std::string();
  auto key = key_in(provider.key_file, is_public);
  if (!key) return std::unexpected(std::move(key.error()).with("provider " + provider.name));
  while (!key->empty() && std::isspace(static_cast<unsigned char>(key->back())) != 0) key->pop_back();
  const bool printable = std::ranges::all_of(*key, [](char c) { return c > 0x20 && c < 0x7f; });
  if (key->empty() || !printable)
    return fail(ErrorKind::config, "provider " + provider.name + ": " + provider.key_file +
                                       " must hold the key and nothing else");
  return key;
}

}  // namespace assay::llm
