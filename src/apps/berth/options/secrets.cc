// Secrets of the command line.
#include "apps/berth/options/secrets.h"

#include <charconv>
#include <cstdlib>
#include <utility>

#include "apps/berth/options/csv.h"
#include "base/format.h"
#include "sys/file.h"

namespace berth::cli::options {
namespace {

constexpr size_t largest = size_t{500} << 10;

Result<uint32_t> number(std::string_view key, std::string_view text, int base) {
  uint32_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc() || end != text.data() + text.size())
    return failure(Kind::InvalidArgument, "invalid {} \"{}\" of a secret", key, text);
  return value;
}

}  // namespace

Result<Secret> parse_secret(std::string_view text) {
  Secret secret;
  std::string type;
  TRY(auto fields, split_csv(text));
  for (const std::string& field : fields) {
    size_t equals = field.find('=');
    std::string key = field.substr(0, equals);
    std::string value = equals == std::string::npos ? "" : field.substr(equals + 1);
    if (key == "id") {
      secret.id = value;
    } else if (key == "src" || key == "source") {
      secret.source = value;
    } else if (key == "env") {
      secret.variable = value;
    } else if (key == "type" && (value == "file" || value == "env")) {
      type = value;
    } else if (key == "uid") {
      TRY(secret.uid, number(key, value, 10));
    } else if (key == "gid") {
      TRY(secret.gid, number(key, value, 10));
    } else if (key == "mode") {
      TRY(secret.mode, number(key, value, 8));
    } else {
      return failure(Kind::InvalidArgument, "unexpected key '{}' in a secret: id, src, env, uid, gid or mode",
                     key);
    }
  }
  if (secret.id.empty()) return Error(Kind::InvalidArgument, "a secret needs an id");
  // type=env names the variable by src, or by the id alone, as buildx has it.
  if (type == "env" && secret.variable.empty())
    secret.variable = secret.source.empty() ? secret.id : std::exchange(secret.source, {});
  if (secret.source.empty() == secret.variable.empty())
    return failure(Kind::InvalidArgument, "secret \"{}\" needs either src=FILE or env=VARIABLE", secret.id);
  return secret;
}

Result<std::string> check_secret(std::string_view text) {
  TRY(Secret secret, parse_secret(text));
  return std::string(text);
}

Result<std::string> read_secret(const Secret& secret) {
  if (secret.source.empty()) {
    const char* value = std::getenv(secret.variable.c_str());
    if (value == nullptr)
      return failure(Kind::NotFound, "secret \"{}\": there is no variable {}", secret.id, secret.variable);
    return std::string(value);
  }
  auto content = sys::read_file(secret.source, largest);
  if (!content) return std::move(content).error().in(fmt::format("secret \"{}\"", secret.id));
  return content;
}

}  // namespace berth::cli::options
