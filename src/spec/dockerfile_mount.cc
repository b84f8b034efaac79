// RUN --mount values: comma-separated key=value fields, quoted as in CSV.
#include "spec/dockerfile_mount.h"

#include <cmath>

#include "base/format.h"
#include "spec/dockerfile.h"
#include "spec/dockerfile_lexer.h"
#include "spec/go_quote.h"

namespace berth::spec {
namespace {

using dockerfile::lower;

Result<std::vector<std::string>> split_csv(std::string_view text) {
  std::vector<std::string> fields(1);
  bool quoted = false;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      const bool doubled = c == '"' && i + 1 < text.size() && text[i + 1] == '"';
      if (c != '"' || doubled) fields.back().push_back(c);
      if (doubled) ++i;
      if (c == '"' && !doubled) quoted = false;
    } else if (c == ',') {
      fields.emplace_back();
    } else if (c == '"' && fields.back().empty()) {
      quoted = true;
    } else if (c == '"') {
      return failure(Kind::InvalidArgument, "failed to parse csv mounts: bare \" in non-quoted field");
    } else {
      fields.back().push_back(c);
    }
  }
  if (quoted)
    return failure(Kind::InvalidArgument,
                   "failed to parse csv mounts: extraneous or missing \" in quoted field");
  return fields;
}

Result<bool> parse_go_bool(std::string_view key, const std::string& value) {
  for (const char* yes : {"1", "t", "T", "TRUE", "true", "True"}) {
    if (value == yes) return true;
  }
  for (const char* no : {"0", "f", "F", "FALSE", "false", "False"}) {
    if (value == no) return false;
  }
  return failure(Kind::InvalidArgument, "invalid value for {}: {}", key, value);
}

Result<uint32_t> parse_number(std::string_view key, const std::string& value, unsigned base) {
  uint64_t number = 0;
  bool valid = !value.empty();
  for (const char c : value) {
    valid = valid && c >= '0' && c < static_cast<char>('0' + base);
    number = number * base + static_cast<uint64_t>(c - '0');
    if (number > UINT32_MAX) valid = false;
    if (!valid) break;
  }
  if (!valid) return failure(Kind::InvalidArgument, "invalid value {} for {}", value, key);
  return static_cast<uint32_t>(number);
}

std::string_view type_name(RunMountType type) {
  switch (type) {
    case RunMountType::Bind:
      return "bind";
    case RunMountType::Cache:
      return "cache";
    case RunMountType::Tmpfs:
      return "tmpfs";
    case RunMountType::Secret:
      return "secret";
    case RunMountType::Ssh:
      return "ssh";
  }
  return "";
}

std::string suggestion(const std::string& word, const std::vector<std::string>& options) {
  const std::string close = closest_word(word, options);
  return close.empty() ? "" : " (did you mean " + close + "?)";
}

Result<RunMountType> parse_type(const std::string& value) {
  const std::string name = lower(value);
  for (const auto type : {RunMountType::Bind, RunMountType::Cache, RunMountType::Tmpfs, RunMountType::Secret,
                          RunMountType::Ssh}) {
    if (name == type_name(type)) return type;
  }
  return failure(Kind::InvalidArgument, "unsupported mount type {}{}", go_quote(value),
                 suggestion(value, {"bind", "cache", "tmpfs", "secret", "ssh"}));
}

Result<CacheSharing> parse_sharing(const std::string& value) {
  const std::string name = lower(value);
  if (name == "shared") return CacheSharing::Shared;
  if (name == "private") return CacheSharing::Private;
  if (name == "locked") return CacheSharing::Locked;
  return failure(Kind::InvalidArgument, "unsupported sharing value {}{}", go_quote(value),
                 suggestion(value, {"shared", "private", "locked"}));
}

class MountParser {
 public:
  MountParser(const VariableLookup& lookup, char escape) : lookup_(lookup), escape_(escape) {}

  Result<RunMount> run(std::string_view text) {
    TRY(auto fields, split_csv(text));
    for (const auto& field : fields) {
      const size_t equals = field.find('=');
      const std::string key = lower(field.substr(0, equals));
      if (equals == std::string::npos) {
        CHECK(take_bare(key, field));
        continue;
      }
      std::string value = field.substr(equals + 1);
      if (key == "from") {
        const size_t dollar = value.find('$');
        if (dollar != std::string::npos && dollar + 1 != value.size()) {
          return failure(Kind::InvalidArgument,
                         "'{}' doesn't support variable expansion, define alias stage instead", key);
        }
      }
      TRY(value, expand_word(value, lookup_, {.escape = escape_}));
      CHECK(take(key, value, field));
    }
    CHECK(validate());
    return std::move(mount_);
  }

 private:
  bool is_secret_like() const {
    return mount_.type == RunMountType::Secret || mount_.type == RunMountType::Ssh;
  }

  Error unexpected_key(const std::string& key) const {
    return failure(Kind::InvalidArgument, "unexpected key '{}' for mount type '{}'", key,
                   type_name(mount_.type));
  }

  Result<void> take_bare(const std::string& key, const std::string& field) {
    if (key == "readonly" || key == "ro") {
      readonly_ = true;
    } else if (key == "readwrite" || key == "rw") {
      readonly_ = false;
    } else if (key == "required") {
      if (!is_secret_like()) return unexpected_key(key);
      mount_.required = true;
    } else {
      return failure(Kind::InvalidArgument, "invalid field '{}' must be a key=value pair", field);
    }
    return {};
  }

  Result<void> take(const std::string& key, const std::string& value, const std::string& field) {
    if (key == "from") {
      mount_.from = value;
    } else if (key == "source" || key == "src") {
      mount_.source = value;
    } else if (key == "target" || key == "dst" || key == "destination") {
      mount_.target = value;
    } else if (key == "id") {
      mount_.id = value;
    } else if (key == "env") {
      mount_.env = value;
    } else if (key == "type") {
      TRY(mount_.type, parse_type(value));
    } else if (key == "readonly" || key == "ro") {
      TRY(readonly_, parse_go_bool(key, value));
    } else if (key == "readwrite" || key == "rw") {
      TRY(const bool writable, parse_go_bool(key, value));
      readonly_ = !writable;
    } else if (key == "required") {
      if (!is_secret_like()) return unexpected_key(key);
      TRY(mount_.required, parse_go_bool(key, value));
    } else if (key == "size") {
      if (mount_.type != RunMountType::Tmpfs) return unexpected_key(key);
      auto size = parse_byte_size(value);
      if (!size) return failure(Kind::InvalidArgument, "invalid value for {}: {}", key, value);
      mount_.size = *size;
    } else if (key == "sharing") {
      TRY(mount_.sharing, parse_sharing(value));
      has_sharing_ = true;
    } else if (key == "mode") {
      TRY(mount_.mode, parse_number(key, value, 8));
    } else if (key == "uid") {
      TRY(mount_.uid, parse_number(key, value, 10));
    } else if (key == "gid") {
      TRY(mount_.gid, parse_number(key, value, 10));
    } else {
      return failure(Kind::InvalidArgument, "unexpected key '{}' in '{}'{}", key, field,
                     suggestion(key, known_keys()));
    }
    return {};
  }

  static std::vector<std::string> known_keys() {
    return {"type", "from", "source", "target", "readonly",    "id", "sharing", "required",  "size", "mode",
            "uid",  "gid",  "src",    "dst",    "destination", "ro", "rw",      "readwrite", "env"};
  }

  Result<void> validate() {
    const std::string_view type = type_name(mount_.type);
    const bool owner_allowed = is_secret_like() || mount_.type == RunMountType::Cache;
    if (!owner_allowed && mount_.mode)
      return failure(Kind::InvalidArgument, "mode not allowed for \"{}\" type mounts", type);
    if (!owner_allowed && mount_.uid)
      return failure(Kind::InvalidArgument, "uid not allowed for \"{}\" type mounts", type);
    if (!owner_allowed && mount_.gid)
      return failure(Kind::InvalidArgument, "gid not allowed for \"{}\" type mounts", type);
    const bool usually_writable = mount_.type == RunMountType::Cache || mount_.type == RunMountType::Tmpfs;
    mount_.readonly = readonly_.value_or(!usually_writable);
    if (mount_.type == RunMountType::Secret) {
      const char* wrong = nullptr;
      if (!mount_.from.empty())
        wrong = "secret mount should not have a from";
      else if (has_sharing_)
        wrong = "secret mount should not define sharing";
      else if (mount_.source.empty() && mount_.target.empty() && mount_.id.empty())
        wrong = "invalid secret mount. one of source, target required";
      else if (!mount_.source.empty() && !mount_.id.empty())
        wrong = "both source and id can't be set";
      if (wrong) return Error(Kind::InvalidArgument, wrong);
    }
    if (has_sharing_ && mount_.type != RunMountType::Cache) {
      return failure(Kind::InvalidArgument, "invalid cache sharing set for {} mount", type);
    }
    return {};
  }

  const VariableLookup& lookup_;
  char escape_;
  RunMount mount_;
  std::optional<bool> readonly_;
  bool has_sharing_ = false;
};

}  // namespace

Result<RunMount> parse_run_mount(std::string_view text, const VariableLookup& lookup, char escape) {
  return MountParser(lookup, escape).run(text);
}

Result<int64_t> parse_byte_size(std::string_view text) {
  const auto invalid = [&] { return failure(Kind::InvalidArgument, "invalid size: '{}'", text); };
  size_t i = 0;
  double number = 0;
  double scale = 0;
  for (; i < text.size() && ((text[i] >= '0' && text[i] <= '9') || (text[i] == '.' && scale == 0)); ++i) {
    if (text[i] == '.') {
      scale = 1;
      continue;
    }
    number = number * 10 + (text[i] - '0');
    if (scale > 0) scale *= 10;
  }
  if (i == 0 || (i == 1 && scale > 0)) return invalid();
  if (scale > 0) number /= scale;
  if (i < text.size() && text[i] == ' ') ++i;
  std::string unit = lower(text.substr(i));
  if (unit.ends_with('b')) unit.pop_back();
  if (unit.size() == 2 && unit[1] == 'i') unit.pop_back();
  constexpr std::string_view units = "kmgtp";
  if (unit.size() > 1 || (unit.size() == 1 && units.find(unit[0]) == std::string_view::npos))
    return invalid();
  if (!unit.empty()) number *= std::pow(1024.0, static_cast<double>(units.find(unit[0]) + 1));
  if (!(number < 9e18)) return invalid();
  return static_cast<int64_t>(number);
}

}  // namespace berth::spec
