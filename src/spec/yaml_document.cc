// yaml-cpp's nodes to JSON.
#include "spec/yaml_document.h"

#include <yaml-cpp/yaml.h>

#include <charconv>
#include <optional>
#include <string>

#include "base/format.h"
#include "base/json.h"

namespace berth::spec {
namespace {

std::optional<int64_t> integer(std::string_view text) {
  bool negative = text.starts_with('-');
  if (negative || text.starts_with('+')) text.remove_prefix(1);
  int base = 10;
  if (text.starts_with("0x")) {
    base = 16;
    text.remove_prefix(2);
  } else if (text.size() > 1 && text.starts_with('0')) {
    base = 8;
    text.remove_prefix(text.starts_with("0o") ? 2 : 1);
  }
  int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (text.empty() || text.front() == '-' || error != std::errc() || end != text.data() + text.size())
    return std::nullopt;
  return negative ? -value : value;
}

Json plain_scalar(const std::string& text) {
  if (text.empty() || text == "~" || text == "null") return nullptr;
  if (text == "true") return true;
  if (text == "false") return false;
  if (auto number = integer(text)) return *number;
  return text;
}

class Converter {
 public:
  explicit Converter(const YamlLimits& limits) : limits_(limits) {}

  Result<Json> convert(const YAML::Node& node, size_t depth = 0) {
    if (++nodes_ > limits_.max_nodes) return place(node, "too many nodes (or aliases that multiply)");
    if (depth > limits_.max_depth) return place(node, "nested too deeply");
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        return Json(nullptr);
      case YAML::NodeType::Scalar:
        // yaml-cpp gives quoted scalars the tag "!".
        if (node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str") return Json(node.Scalar());
        return plain_scalar(node.Scalar());
      case YAML::NodeType::Sequence:
        return convert_list(node, depth);
      case YAML::NodeType::Map:
        return convert_map(node, depth);
    }
    return place(node, "a node of unknown kind");
  }

 private:
  Result<Json> convert_list(const YAML::Node& node, size_t depth) {
    Json list = Json::array();
    for (const YAML::Node& item : node) {
      TRY(Json element, convert(item, depth + 1));
      list.push_back(std::move(element));
    }
    return list;
  }

  Result<Json> convert_map(const YAML::Node& node, size_t depth) {
    Json map = Json::object();
    for (const auto& pair : node) {
      if (!pair.first.IsScalar()) return place(pair.first, "a key must be a text");
      const std::string& key = pair.first.Scalar();
      if (map.contains(key)) return place(pair.first, fmt::format("the key \"{}\" is there twice", key));
      TRY(Json member, convert(pair.second, depth + 1));
      map.emplace(key, std::move(member));
    }
    return map;
  }

  static Error place(const YAML::Node& node, std::string_view message) {
    return failure(Kind::InvalidArgument, "line {}: {}", node.Mark().line + 1, message);
  }

  const YamlLimits& limits_;
  size_t nodes_ = 0;
};

}  // namespace

Result<Json> parse_yaml_document(std::string_view text, const YamlLimits& limits) {
  if (text.size() > limits.max_bytes)
    return failure(Kind::InvalidArgument, "larger than {} bytes", limits.max_bytes);
  try {
    return Converter(limits).convert(YAML::Load(std::string(text)));
  } catch (const YAML::Exception& exception) {
    return failure(Kind::InvalidArgument, "line {}: {}", exception.mark.line + 1, exception.msg);
  } catch (const std::exception& exception) {
    return failure(Kind::InvalidArgument, "malformed YAML: {}", exception.what());
  }
}

}  // namespace berth::spec
