#include "apps/berth/commands/functions/template.h"

#include <yaml-cpp/yaml.h>

#include <algorithm>
#include <array>

#include "base/format.h"
#include "base/json.h"

namespace berth::cli::commands {
namespace {

constexpr unsigned kMaxDepth = 48;
constexpr size_t kMaxNodes = 100'000;

unsigned line_of(const YAML::Node& node) {
  return node.Mark().is_null() ? 0 : static_cast<unsigned>(node.Mark().line + 1);
}

class Reader {
 public:
  Reader(std::string file, const TemplateContext& context) : context_(context) {
    template_.file = std::move(file);
  }

  Result<Template> read(const YAML::Node& root) {
    if (!root.IsMap()) return template_.at(line_of(root), "a template is a map with Resources");
    for (const auto& pair : root) {
      std::string key = pair.first.Scalar();
      static constexpr std::array<std::string_view, 9> known{"AWSTemplateFormatVersion",
                                                             "Transform",
                                                             "Description",
                                                             "Metadata",
                                                             "Parameters",
                                                             "Globals",
                                                             "Resources",
                                                             "Outputs",
                                                             "Rules"};
      if (std::find(known.begin(), known.end(), key) == known.end()) {
        return template_.at(
            line_of(pair.first),
            fmt::format("the section {} is not supported: berth knows Parameters, Globals and "
                        "Resources",
                        key));
      }
    }
    CHECK(read_parameters(root["Parameters"]));
    YAML::Node resources = root["Resources"];
    if (!resources || !resources.IsMap()) return template_.at(line_of(root), "there are no Resources");
    // Types first: references look at them.
    for (const auto& pair : resources) {
      YAML::Node type = pair.second["Type"];
      if (!type || !type.IsScalar())
        return template_.at(line_of(pair.first), fmt::format("resource {} has no Type", pair.first.Scalar()));
      types_[pair.first.Scalar()] = type.Scalar();
      YAML::Node properties = pair.second["Properties"];
      if (!properties || !properties.IsMap()) continue;
      YAML::Node name = properties[name_property(type.Scalar())];
      if (name) raw_names_.emplace(pair.first.Scalar(), name);
    }
    for (const auto& pair : resources) CHECK(read_resource(pair.first, pair.second, root["Globals"]));
    return std::move(template_);
  }

 private:
  static const char* name_property(const std::string& type) {
    if (type == "AWS::SQS::Queue") return "QueueName";
    if (type == "AWS::S3::Bucket") return "BucketName";
    if (type == "AWS::Serverless::LayerVersion") return "LayerName";
    return "FunctionName";
  }

  Result<void> read_parameters(const YAML::Node& parameters) {
    if (!parameters) return {};
    for (const auto& pair : parameters) {
      std::string name = pair.first.Scalar();
      auto given = context_.parameters.find(name);
      YAML::Node fallback = pair.second["Default"];
      if (given != context_.parameters.end()) {
        parameters_[name] = given->second;
      } else if (fallback && fallback.IsScalar()) {
        parameters_[name] = fallback.Scalar();
      } else {
        return template_.at(line_of(pair.first),
                            fmt::format("parameter {} has no default: say --parameter {}=VALUE", name, name));
      }
    }
    return {};
  }

  Result<void> read_resource(const YAML::Node& id, const YAML::Node& node, const YAML::Node& globals) {
    TemplateResource resource{.logical_id = id.Scalar(), .type = node["Type"].Scalar(), .line = line_of(id)};
    for (const auto& pair : node) {
      std::string key = pair.first.Scalar();
      if (key == "Condition")
        return template_.at(line_of(pair.first),
                            "conditions are not supported: take the resource out or leave it in");
    }
    YAML::Node properties = node["Properties"];
    Json own = Json::object();
    if (properties) {
      TRY(own, resolve(properties));
      if (!own.is_object()) return template_.at(line_of(properties), "Properties must be a map");
      for (const auto& pair : properties) resource.property_lines[pair.first.Scalar()] = line_of(pair.first);
    }
    if (resource.type == "AWS::Serverless::Function" && globals && globals["Function"]) {
      TRY(Json common, resolve(globals["Function"]));
      merge_globals(common, own);
    }
    resource.properties = std::make_shared<const Json>(std::move(own));
    template_.resources.push_back(std::move(resource));
    return {};
  }

  /// As SAM has it: maps are merged, lists are joined, scalars are the function's own.
  static void merge_globals(const Json& common, Json& own) {
    for (const auto& [key, value] : common.items()) {
      auto mine = own.find(key);
      if (mine == own.end()) {
        own[key] = value;
      } else if (mine->is_object() && value.is_object()) {
        merge_globals(value, *mine);
      } else if (mine->is_array() && value.is_array()) {
        Json joined = value;
        for (const Json& item : *mine) joined.push_back(item);
        *mine = std::move(joined);
      }
    }
  }

  Result<Json> resolve(const YAML::Node& node, unsigned depth = 0) {
    if (depth > kMaxDepth || ++nodes_ > kMaxNodes)
      return template_.at(line_of(node), "the template is nested too deeply or has too many values");
    const std::string& tag = node.Tag();
    if (tag.size() > 1 && tag[0] == '!') return intrinsic(tag.substr(1), node, depth);
    switch (node.Type()) {
      case YAML::NodeType::Scalar:
        return Json(node.Scalar());
      case YAML::NodeType::Sequence: {
        Json list = Json::array();
        for (const YAML::Node& item : node) {
          TRY(Json value, resolve(item, depth + 1));
          list.push_back(std::move(value));
        }
        return list;
      }
      case YAML::NodeType::Map: {
        if (node.size() == 1) {
          std::string key = node.begin()->first.Scalar();
          if (key == "Ref") return intrinsic("Ref", node.begin()->second, depth);
          if (key.starts_with("Fn::")) return intrinsic(key.substr(4), node.begin()->second, depth);
        }
        Json map = Json::object();
        for (const auto& pair : node) {
          TRY(Json value, resolve(pair.second, depth + 1));
          map[pair.first.Scalar()] = std::move(value);
        }
        return map;
      }
      default:
        return Json("");
    }
  }

  Result<Json> intrinsic(const std::string& name, const YAML::Node& node, unsigned depth) {
    if (name == "Ref") {
      TRY(std::string value, reference(node.Scalar(), line_of(node)));
      return Json(value);
    }
    if (name == "GetAtt") return attribute(node);
    if (name == "Sub") return substitute(node, depth);
    if (name == "Join") return join(node, depth);
    if (name == "Select") return select(node, depth);
    return template_.at(line_of(node),
                        fmt::format("!{} is not supported: berth works out !Ref, !GetAtt, !Sub, !Join "
                                    "and !Select",
                                    name));
  }

  /// Names of buckets have no capitals.
  static std::string to_lower(std::string text) {
    for (char& c : text) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
    return text;
  }

  /// The physical name of a resource: what it says itself, or its logical id.
  Result<std::string> name_of(const std::string& id) {
    auto raw = raw_names_.find(id);
    if (raw == raw_names_.end()) return types_[id] == "AWS::S3::Bucket" ? to_lower(id) : id;
    if (!resolving_.insert(id).second)
      return template_.at(line_of(raw->second), fmt::format("the name of {} refers to itself", id));
    auto value = resolve(raw->second, 1);
    resolving_.erase(id);
    if (!value) return value.error();
    return value->is_string() ? value->get<std::string>() : id;
  }

  Result<std::string> arn_of(const std::string& id, unsigned line) {
    const std::string& type = types_[id];
    TRY(std::string name, name_of(id));
    if (type == "AWS::SQS::Queue")
      return fmt::format("arn:aws:sqs:{}:{}:{}", context_.region, context_.account, name);
    if (type == "AWS::Serverless::Function")
      return fmt::format("arn:aws:lambda:{}:{}:function:{}", context_.region, context_.account, name);
    if (type == "AWS::S3::Bucket") return "arn:aws:s3:::" + name;
    return template_.at(line, fmt::format("!GetAtt {}.Arn: a {} has no such attribute here", id, type));
  }

  Result<std::string> reference(const std::string& id, unsigned line) {
    if (auto parameter = parameters_.find(id); parameter != parameters_.end()) return parameter->second;
    if (id == "AWS::Region") return context_.region;
    if (id == "AWS::AccountId") return context_.account;
    if (id == "AWS::StackName") return context_.stack;
    if (id == "AWS::Partition") return std::string("aws");
    if (id == "AWS::URLSuffix") return std::string("amazonaws.com");
    if (id == "AWS::NoValue") return std::string();
    auto type = types_.find(id);
    if (type == types_.end())
      return template_.at(line,
                          fmt::format("!Ref {}: there is no parameter and no resource of this name", id));
    TRY(std::string name, name_of(id));
    if (type->second == "AWS::SQS::Queue")
      return fmt::format("http://sqs.{}.localhost:4566/{}/{}", context_.region, context_.account, name);
    return name;
  }

  Result<std::string> attribute_of(const std::string& id, const std::string& name, unsigned line) {
    if (!types_.contains(id))
      return template_.at(line, fmt::format("!GetAtt {}.{}: there is no resource of this name", id, name));
    if (name == "Arn") return arn_of(id, line);
    if (name == "QueueUrl") return reference(id, line);
    if (name == "QueueName" || name == "FunctionName") return name_of(id);
    return template_.at(line, fmt::format("!GetAtt {}.{}: berth knows Arn, QueueUrl, QueueName", id, name));
  }

  Result<Json> attribute(const YAML::Node& node) {
    std::string id, name;
    if (node.IsSequence() && node.size() == 2) {
      id = node[0].Scalar();
      name = node[1].Scalar();
    } else if (node.IsScalar() && node.Scalar().find('.') != std::string::npos) {
      id = node.Scalar().substr(0, node.Scalar().find('.'));
      name = node.Scalar().substr(node.Scalar().find('.') + 1);
    } else {
      return template_.at(line_of(node), "!GetAtt takes RESOURCE.ATTRIBUTE");
    }
    TRY(std::string value, attribute_of(id, name, line_of(node)));
    return Json(value);
  }

  Result<Json> substitute(const YAML::Node& node, unsigned depth) {
    std::string text;
    std::map<std::string, std::string> own;
    if (node.IsSequence() && node.size() == 2 && node[1].IsMap()) {
      text = node[0].Scalar();
      for (const auto& pair : node[1]) {
        TRY(Json value, resolve(pair.second, depth + 1));
        if (value.is_string()) own[pair.first.Scalar()] = value.get<std::string>();
      }
    } else if (node.IsScalar()) {
      text = node.Scalar();
    } else {
      return template_.at(line_of(node), "!Sub takes a text, or a text and a map");
    }
    std::string result;
    size_t at = 0;
    while (at < text.size()) {
      size_t open = text.find("${", at);
      size_t close = open == text.npos ? text.npos : text.find('}', open);
      if (close == text.npos) break;
      result += text.substr(at, open - at);
      std::string name = text.substr(open + 2, close - open - 2);
      at = close + 1;
      if (name.starts_with("!")) {
        result += "${" + name.substr(1) + "}";
      } else if (auto mine = own.find(name); mine != own.end()) {
        result += mine->second;
      } else if (size_t dot = name.find('.'); dot != name.npos) {
        TRY(std::string value, attribute_of(name.substr(0, dot), name.substr(dot + 1), line_of(node)));
        result += value;
      } else {
        TRY(std::string value, reference(name, line_of(node)));
        result += value;
      }
    }
    return Json(result + text.substr(std::min(at, text.size())));
  }

  Result<Json> join(const YAML::Node& node, unsigned depth) {
    if (!node.IsSequence() || node.size() != 2)
      return template_.at(line_of(node), "!Join takes [separator, list]");
    TRY(Json list, resolve(node[1], depth + 1));
    if (!list.is_array()) return template_.at(line_of(node), "!Join takes [separator, list]");
    std::string result;
    for (size_t i = 0; i < list.size(); ++i) {
      if (!list[i].is_string()) return template_.at(line_of(node), "!Join joins texts");
      result += (i == 0 ? "" : node[0].Scalar()) + list[i].get<std::string>();
    }
    return Json(result);
  }

  Result<Json> select(const YAML::Node& node, unsigned depth) {
    auto refuse = [&] { return template_.at(line_of(node), "!Select takes [index, list] within the list"); };
    if (!node.IsSequence() || node.size() != 2) return refuse();
    TRY(Json list, resolve(node[1], depth + 1));
    size_t index = 0;
    for (char c : node[0].Scalar()) {
      if (c < '0' || c > '9' || index > 10'000) return refuse();
      index = index * 10 + static_cast<size_t>(c - '0');
    }
    if (!list.is_array() || index >= list.size()) return refuse();
    return list[index];
  }

  const TemplateContext& context_;
  Template template_;
  std::map<std::string, std::string> parameters_;
  std::map<std::string, std::string> types_;
  std::map<std::string, YAML::Node> raw_names_;
  std::set<std::string> resolving_;
  size_t nodes_ = 0;
};

}  // namespace

Error Template::at(unsigned line, std::string_view message) const {
  if (line == 0) return failure(Kind::InvalidArgument, "{}: {}", file, message);
  return failure(Kind::InvalidArgument, "{}:{}: {}", file, line, message);
}

Result<Template> read_template(const std::string& file, std::string_view text,
                               const TemplateContext& context) {
  Template where{.file = file, .resources = {}};
  try {
    YAML::Node root = YAML::Load(std::string(text));
    return Reader(file, context).read(root);
  } catch (const YAML::Exception& problem) {
    return where.at(problem.mark.is_null() ? 0 : static_cast<unsigned>(problem.mark.line + 1), problem.msg);
  }
}

}  // namespace berth::cli::commands
