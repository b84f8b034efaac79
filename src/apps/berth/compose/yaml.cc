// Reading YAML with yaml-cpp. Its exceptions stop here.
#include <yaml-cpp/yaml.h>

#include "apps/berth/compose/value.h"
#include "base/format.h"

namespace berth::cli::compose {
namespace {

class Converter {
 public:
  Converter(std::string file, size_t limit)
      : file_(std::make_shared<const std::string>(std::move(file))), left_(limit) {}

  Result<Value> convert(const YAML::Node& node, unsigned depth = 0) {
    Position at = position(node);
    if (left_-- == 0) return place(at, "the file has too many nodes (or aliases that multiply)");
    if (depth > 64) return place(at, "nested too deeply");
    Value value;
    switch (node.Type()) {
      case YAML::NodeType::Undefined:
      case YAML::NodeType::Null:
        value.at = at;
        break;
      case YAML::NodeType::Scalar:
        // "!" is yaml-cpp's tag of quoted scalars, and "?" that of plain ones.
        value = Value::scalar(node.Scalar(), at, node.Tag() == "!" || node.Tag() == "tag:yaml.org,2002:str");
        break;
      case YAML::NodeType::Sequence:
        value = Value::list(at);
        for (const YAML::Node& item : node) {
          TRY(Value element, convert(item, depth + 1));
          value.items.push_back(std::move(element));
        }
        break;
      case YAML::NodeType::Map: {
        TRY(value, convert_map(node, at, depth));
        break;
      }
    }
    if (node.Tag() == "!reset") value.tag = Value::Tag::Reset;
    if (node.Tag() == "!override") value.tag = Value::Tag::Override;
    return value;
  }

  Error place(const Position& at, std::string_view message) const {
    std::string where = at.str();
    return failure(Kind::InvalidArgument, "{}: {}", where.empty() ? *file_ : where, message);
  }
  Error place(const YAML::Mark& mark, std::string_view message) const {
    return place(position(mark), message);
  }

 private:
  Position position(const YAML::Mark& mark) const {
    if (mark.is_null()) return {file_, 0, 0};
    return {file_, static_cast<unsigned>(mark.line + 1), static_cast<unsigned>(mark.column + 1)};
  }
  Position position(const YAML::Node& node) const { return position(node.Mark()); }

  Result<Value> convert_map(const YAML::Node& node, const Position& at, unsigned depth) {
    Value map = Value::map(at);
    Value::Map inherited;
    for (const auto& pair : node) {
      if (!pair.first.IsScalar() && !pair.first.IsNull())
        return place(position(pair.first), "a key must be a string");
      const bool quoted = pair.first.Tag() == "!";
      if (pair.first.IsNull() ||
          scalar_kind(Value::scalar(pair.first.Scalar(), {}, quoted)) != ScalarKind::Text)
        return place(position(pair.first), "a key must be a string: quote it");
      std::string key = pair.first.Scalar();
      TRY(Value member, convert(pair.second, depth + 1));
      if (key == "<<" && !quoted) {
        CHECK(inherit(member, inherited));
        continue;
      }
      if (member.is_null()) member.at = position(pair.first);
      if (!map.members.emplace(key, std::move(member)).second) {
        return place(position(pair.first), fmt::format("mapping key \"{}\" already defined", key));
      }
    }
    map.members.merge(inherited);
    return map;
  }

  /// `<<: *anchor` or `<<: [*a, *b]`, where the earlier ones win.
  Result<void> inherit(Value& from, Value::Map& into) {
    if (from.is_map()) {
      into.merge(from.members);
      return {};
    }
    if (!from.is_list()) return place(from.at, "a merge key takes a mapping or a list of mappings");
    for (Value& item : from.items) {
      if (!item.is_map()) return place(item.at, "a merge key takes mappings");
      into.merge(item.members);
    }
    return {};
  }

  std::shared_ptr<const std::string> file_;
  size_t left_;
};

}  // namespace

Result<std::vector<Value>> parse_yaml_documents(std::string_view text, const std::string& file,
                                                size_t limit) {
  Converter converter(file, limit);
  try {
    std::vector<Value> documents;
    const auto nodes = YAML::LoadAll(std::string(text));
    for (const YAML::Node& document : nodes) {
      TRY(Value value, converter.convert(document));
      documents.push_back(std::move(value));
    }
    return documents;
  } catch (const YAML::Exception& exception) {
    return converter.place(exception.mark, exception.msg);
  } catch (const std::exception& exception) {
    return failure(Kind::InvalidArgument, "{}: {}", file, exception.what());
  }
}

Result<Value> parse_yaml(std::string_view text, const std::string& file, size_t limit) {
  TRY(auto documents, parse_yaml_documents(text, file, limit));
  if (documents.size() > 1) return complaint(documents[1], "", "there is more than one YAML document");
  return documents.empty() ? Value() : std::move(documents[0]);
}

}  // namespace berth::cli::compose
