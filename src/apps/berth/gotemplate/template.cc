// Executing a template.
#include "apps/berth/gotemplate/template.h"

#include <algorithm>

#include "apps/berth/gotemplate/functions.h"
#include "apps/berth/gotemplate/node.h"
#include "apps/berth/gotemplate/parser.h"
#include "base/format.h"

namespace berth::cli::gotemplate {
namespace {

/// Walks the tree. The first failure is kept and stops everything.
class Evaluator {
 public:
  Evaluator(std::string_view source, std::string_view name, std::string& out, const Execution& execution)
      : source_(source), name_(name), out_(out), execution_(execution) {}

  Result<void> run(const Node& root, const Value& data) {
    variables_.emplace_back("$", data);
    walk(root, data);
    if (failed_) return Error(Kind::InvalidArgument, message_);
    return {};
  }

 private:
  enum class Flow { Next, Break, Continue };

  void fail(const Node& node, std::string_view message) {
    if (failed_) return;
    failed_ = true;
    size_t position = std::min(node.position, source_.size());
    std::string_view before = source_.substr(0, position);
    auto line = 1 + std::count(before.begin(), before.end(), '\n');
    size_t line_start = before.rfind('\n');
    size_t column = line_start == std::string_view::npos ? position : position - line_start - 1;
    message_ = fmt::format("template: {}:{}:{}: executing \"{}\" at <{}>: {}", name_, line, column, name_,
                           node.text, message);
  }

  Flow walk(const Node& node, const Value& dot) {
    if (failed_) return Flow::Next;
    switch (node.kind) {
      case Node::Kind::Sequence:
        for (const NodePtr& child : node.children) {
          Flow flow = walk(*child, dot);
          if (flow != Flow::Next || failed_) return flow;
        }
        return Flow::Next;
      case Node::Kind::Text:
        out_ += node.text;
        return Flow::Next;
      case Node::Kind::Action: {
        Value value = pipeline(*node.pipe, dot);
        if (!failed_ && node.pipe->names.empty()) out_ += value.print();
        return Flow::Next;
      }
      case Node::Kind::If:
      case Node::Kind::With:
        return branch(node, dot);
      case Node::Kind::Range:
        return range(node, dot);
      case Node::Kind::Break:
        return Flow::Break;
      case Node::Kind::Continue:
        return Flow::Continue;
      default:
        return Flow::Next;
    }
  }

  Flow branch(const Node& node, const Value& dot) {
    size_t known = variables_.size();
    Value value = pipeline(*node.pipe, dot);
    Flow flow = Flow::Next;
    if (!failed_ && value.truth()) {
      flow = walk(*node.children[0], node.kind == Node::Kind::With ? value : dot);
    } else if (!failed_ && node.children[1] != nullptr) {
      flow = walk(*node.children[1], dot);
    }
    variables_.resize(known);
    return flow;
  }

  Flow range(const Node& node, const Value& dot) {
    size_t known = variables_.size();
    Value value = range_value(*node.pipe, dot);
    bool any = false;
    Flow flow = Flow::Next;
    auto once = [&](const Value& key, const Value& element) {
      any = true;
      size_t inner = variables_.size();
      bind_range(*node.pipe, key, element);
      flow = walk(*node.children[0], element);
      variables_.resize(inner);
      return !failed_ && flow != Flow::Break;
    };
    if (failed_) return flow;
    if (const List* list = value.list()) {
      for (size_t i = 0; i < list->size(); ++i) {
        if (!once(static_cast<int64_t>(i), (*list)[i])) break;
      }
    } else if (const Object* object = value.object();
               object != nullptr && object->shape != Shape::Struct && object->shape != Shape::Row) {
      for (const auto* entry : sorted_entries(*object)) {
        if (!once(entry->first, entry->second)) break;
      }
    } else if (const int64_t* count = value.as<int64_t>()) {
      for (int64_t i = 0; i < *count; ++i) {
        if (!once(i, i)) break;
      }
    } else if (!value.nil() && !value.missing()) {
      fail(*node.pipe, fmt::format("range can't iterate over {}", value.print()));
    }
    if (!any && !failed_ && node.children[1] != nullptr) walk(*node.children[1], dot);
    variables_.resize(known);
    return Flow::Next;
  }

  /// The pipeline of a range without binding its variables.
  Value range_value(const Node& pipe, const Value& dot) {
    Value value;
    for (size_t i = 0; i < pipe.children.size() && !failed_; ++i)
      value = command(*pipe.children[i], dot, i > 0, value);
    return value;
  }

  void bind_range(const Node& pipe, const Value& key, const Value& element) {
    if (pipe.names.empty()) return;
    const std::string& last = pipe.names.back();
    if (pipe.assigns) {
      assign(last, element);
      if (pipe.names.size() > 1) assign(pipe.names[0], key);
      return;
    }
    if (pipe.names.size() > 1) variables_.emplace_back(pipe.names[0], key);
    variables_.emplace_back(last, element);
  }

  void assign(const std::string& name, const Value& value) {
    for (size_t i = variables_.size(); i-- > 0;) {
      if (variables_[i].first == name) {
        variables_[i].second = value;
        return;
      }
    }
  }

  Value pipeline(const Node& pipe, const Value& dot) {
    Value value = range_value(pipe, dot);
    if (failed_) return {};
    for (const std::string& name : pipe.names) {
      if (pipe.assigns) {
        assign(name, value);
      } else {
        variables_.emplace_back(name, value);
      }
    }
    return value;
  }

  Value command(const Node& command, const Value& dot, bool has_final, const Value& final) {
    const Node& first = *command.children[0];
    switch (first.kind) {
      case Node::Kind::Field:
      case Node::Kind::Variable:
      case Node::Kind::Chain:
        return field_command(command, dot, has_final, final);
      case Node::Kind::Function:
        return function_command(command, dot, has_final, final);
      default:
        break;
    }
    if (command.children.size() > 1 || has_final) {
      fail(first, fmt::format("can't give argument to non-function {}", first.text));
      return {};
    }
    if (first.kind == Node::Kind::NilLiteral) {
      fail(first, "nil is not a command");
      return {};
    }
    return operand(first, dot);
  }

  std::vector<Value> arguments_of(const Node& command, const Value& dot, bool has_final, const Value& final) {
    std::vector<Value> arguments;
    for (size_t i = 1; i < command.children.size() && !failed_; ++i) {
      arguments.push_back(operand(*command.children[i], dot));
    }
    if (has_final) arguments.push_back(final);
    return arguments;
  }

  Value field_command(const Node& command, const Value& dot, bool has_final, const Value& final) {
    const Node& first = *command.children[0];
    size_t skip = first.kind == Node::Kind::Variable ? 1 : 0;
    Value receiver = first.kind == Node::Kind::Field      ? dot
                     : first.kind == Node::Kind::Variable ? variable(first.names[0])
                                                          : operand(*first.children[0], dot);
    if (failed_) return {};
    std::vector<Value> arguments = arguments_of(command, dot, has_final, final);
    for (size_t i = skip; i < first.names.size() && !failed_; ++i) {
      bool last = i + 1 == first.names.size();
      receiver = field(first, receiver, first.names[i], last ? &arguments : nullptr);
    }
    if (skip == first.names.size() && !arguments.empty() && !failed_) {
      fail(first, fmt::format("can't give argument to non-function {}", first.text));
    }
    return failed_ ? Value() : receiver;
  }

  Value function_command(const Node& command, const Value& dot, bool has_final, const Value& final) {
    const std::string& name = command.children[0]->names[0];
    if (name == "and" || name == "or") return logic(command, name == "or", dot, has_final, final);
    std::vector<Value> arguments = arguments_of(command, dot, has_final, final);
    if (failed_) return {};
    auto result = call(name, arguments, execution_.functions);
    if (result) return *result;
    const CallError& error = result.error();
    switch (error.where) {
      case CallError::Where::Count:
        fail(*command.children[0], error.message);
        break;
      case CallError::Where::Argument: {
        bool written = error.argument + 1 < command.children.size();
        fail(written ? *command.children[error.argument + 1] : *command.children[0],
             written ? error.message : fmt::format("wrong type for value; {}", error.message));
        break;
      }
      case CallError::Where::Call:
        fail(command, fmt::format("error calling {}: {}", name, error.message));
        break;
    }
    return {};
  }

  /// The first argument that decides; the rest is not evaluated.
  Value logic(const Node& command, bool stop_at, const Value& dot, bool has_final, const Value& final) {
    Value value;
    size_t count = command.children.size() - 1 + (has_final ? 1 : 0);
    if (count == 0) {
      fail(*command.children[0],
           fmt::format("wrong number of args for {}: want at least 1 got 0", command.children[0]->names[0]));
      return {};
    }
    for (size_t i = 1; i < command.children.size() && !failed_; ++i) {
      value = operand(*command.children[i], dot);
      if (value.truth() == stop_at) return value;
    }
    return has_final ? final : value;
  }

  Value operand(const Node& node, const Value& dot) {
    switch (node.kind) {
      case Node::Kind::Dot:
        return dot;
      case Node::Kind::NilLiteral:
        return Nil{};
      case Node::Kind::Literal:
        return node.value;
      case Node::Kind::Pipeline: {
        size_t known = variables_.size();
        Value value = pipeline(node, dot);
        variables_.resize(known);
        return value;
      }
      case Node::Kind::Field:
      case Node::Kind::Variable:
      case Node::Kind::Chain:
      case Node::Kind::Function: {
        Node alone;
        alone.kind = Node::Kind::Command;
        alone.position = node.position;
        alone.text = node.text;
        alone.children.push_back(std::make_shared<Node>(node));
        return command(alone, dot, false, {});
      }
      default:
        return {};
    }
  }

  Value variable(const std::string& name) {
    for (size_t i = variables_.size(); i-- > 0;) {
      if (variables_[i].first == name) return variables_[i].second;
    }
    return {};
  }

  Value field(const Node& node, const Value& receiver, const std::string& name,
              const std::vector<Value>* arguments) {
    const Object* object = receiver.object();
    if (object == nullptr) return no_object(node, receiver, name);
    const Value* found = find(*object, name);
    if (found == nullptr) return no_field(node, *object, receiver, name);
    if (const Method* method = found->method()) {
      auto result = (*method)(arguments == nullptr ? std::vector<Value>() : *arguments);
      if (result) return *result;
      fail(node, result.error().message());
      return {};
    }
    if (arguments != nullptr && !arguments->empty()) {
      fail(node, fmt::format("{} is not a method but has arguments", name));
      return {};
    }
    return *found;
  }

  Value no_object(const Node& node, const Value& receiver, const std::string& name) {
    if (receiver.missing()) {
      fail(node, fmt::format("nil data; no entry for key \"{}\"", name));
    } else if (const Nil* nil = receiver.as<Nil>(); nil != nullptr && nil->shown == "map[]") {
      return {};
    } else if (receiver.nil()) {
      fail(node, fmt::format("nil pointer evaluating interface {{}}.{}", name));
    } else {
      fail(node, fmt::format("can't evaluate field {} in type interface {{}}", name));
    }
    return {};
  }

  Value no_field(const Node& node, const Object& object, const Value& receiver, const std::string& name) {
    if (object.shape == Shape::Struct || object.shape == Shape::Row) {
      fail(node, fmt::format("can't evaluate field {} in type {}", name, receiver.type_name()));
    } else if (execution_.missing_key == MissingKey::Error) {
      fail(node, fmt::format("map has no entry for key \"{}\"", name));
    }
    return {};
  }

  std::string_view source_;
  std::string_view name_;
  std::string& out_;
  const Execution& execution_;
  std::vector<std::pair<std::string, Value>> variables_;
  bool failed_ = false;
  std::string message_;
};

bool mentions_field(const Node& node, std::string_view field) {
  if (node.kind == Node::Kind::Field || node.kind == Node::Kind::Variable || node.kind == Node::Kind::Chain) {
    if (std::find(node.names.begin(), node.names.end(), field) != node.names.end()) return true;
  }
  if (node.pipe != nullptr && mentions_field(*node.pipe, field)) return true;
  for (const NodePtr& child : node.children) {
    if (child != nullptr && mentions_field(*child, field)) return true;
  }
  return false;
}

}  // namespace

Result<Template> Template::parse(std::string_view text, std::string_view name) {
  Template result;
  result.name_ = name;
  result.source_ = text;
  TRY(result.root_, parse_template(result.source_, name));
  return result;
}

Result<void> Template::execute(std::string& out, const Value& data, const Execution& execution) const {
  return Evaluator(source_, name_, out, execution).run(*root_, data);
}

bool Template::mentions(std::string_view field) const {
  return mentions_field(*root_, field);
}

}  // namespace berth::cli::gotemplate
