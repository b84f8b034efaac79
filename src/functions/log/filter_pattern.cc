// Filter patterns: a recursive descent into a tree of conditions, and its evaluation.
#include "functions/log/filter_pattern.h"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <optional>

#include "base/format.h"
#include "base/json.h"
#include "base/wildcard.h"

namespace berth::functions {
namespace {

constexpr size_t kMaxPattern = 1024;
constexpr int kMaxDepth = 32;

enum class Operator {
  Equal,
  NotEqual,
  Less,
  LessOrEqual,
  Greater,
  GreaterOrEqual,
  NotExists,
  IsNull,
  IsTrue,
  IsFalse
};

std::optional<double> number_of(std::string_view text) {
  if (text.starts_with('+')) text.remove_prefix(1);
  double value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool whole = error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
  return whole ? std::optional(value) : std::nullopt;
}

/// One step of a selector: a member, or an element.
struct Step {
  std::string member;
  std::optional<size_t> element;
};

struct Operand {
  std::string text;
  std::optional<double> number;  ///< of what was not quoted
};

bool compare(Operator op, double left, double right) {
  switch (op) {
    case Operator::Equal:
      return left == right;
    case Operator::NotEqual:
      return left != right;
    case Operator::Less:
      return left < right;
    case Operator::LessOrEqual:
      return left <= right;
    case Operator::Greater:
      return left > right;
    case Operator::GreaterOrEqual:
      return left >= right;
    default:
      return false;
  }
}

bool compare_text(Operator op, std::string_view text, const Operand& operand) {
  if (op == Operator::Equal) return matches_wildcard(operand.text, text);
  if (op == Operator::NotEqual) return !matches_wildcard(operand.text, text);
  auto number = number_of(text);
  return number && operand.number && compare(op, *number, *operand.number);
}

const Json* select(const Json& document, const std::vector<Step>& path) {
  const Json* at = &document;
  for (const Step& step : path) {
    if (step.element) {
      if (!at->is_array() || *step.element >= at->size()) return nullptr;
      at = &(*at)[*step.element];
      continue;
    }
    if (!at->is_object()) return nullptr;
    auto found = at->find(step.member);
    if (found == at->end()) return nullptr;
    at = &*found;
  }
  return at;
}

/// Fields of a line: between spaces, or within quotes or brackets.
std::vector<std::string_view> fields_of(std::string_view line) {
  std::vector<std::string_view> fields;
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.remove_suffix(1);
  while (true) {
    while (line.starts_with(' ')) line.remove_prefix(1);
    if (line.empty()) return fields;
    char close = line.front() == '"' ? '"' : line.front() == '[' ? ']' : ' ';
    size_t begin = close == ' ' ? 0 : 1;
    size_t end = std::min(line.find(close, begin), line.size());
    fields.push_back(line.substr(begin, end - begin));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
}

}  // namespace

struct FilterPattern::Condition {
  std::vector<Step> path;  ///< of JSON
  size_t column = 0;       ///< of columns
  Operator op = Operator::Equal;
  Operand operand;

  bool holds(const Json& document) const {
    const Json* value = select(document, path);
    if (op == Operator::NotExists) return value == nullptr;
    if (value == nullptr) return false;
    if (op == Operator::IsNull) return value->is_null();
    if (op == Operator::IsTrue) return value->is_boolean() && value->get<bool>();
    if (op == Operator::IsFalse) return value->is_boolean() && !value->get<bool>();
    if (value->is_number() && operand.number) return compare(op, value->get<double>(), *operand.number);
    if (value->is_string()) return compare_text(op, value->get_ref<const std::string&>(), operand);
    if (value->is_structured() || value->is_null()) return false;
    return compare_text(op, to_json(*value), operand);
  }
  bool holds(const std::vector<std::string_view>& fields) const {
    return column < fields.size() && compare_text(op, fields[column], operand);
  }
};

struct FilterPattern::Expression {
  enum class Kind { All, Any, Leaf } kind = Kind::Leaf;
  std::vector<Expression> parts;
  Condition condition;

  template <class Subject>
  bool holds(const Subject& subject) const {
    auto part_holds = [&](const Expression& part) { return part.holds(subject); };
    if (kind == Kind::All) return std::all_of(parts.begin(), parts.end(), part_holds);
    if (kind == Kind::Any) return std::any_of(parts.begin(), parts.end(), part_holds);
    return condition.holds(subject);
  }
};

using Expression = FilterPattern::Expression;
using Condition = FilterPattern::Condition;

class FilterParser {
 public:
  explicit FilterParser(std::string_view text) : whole_(text), rest_(text) {}

  Result<FilterPattern> parse() {
    skip_space();
    if (rest_.starts_with('{')) return parse_json_pattern();
    if (rest_.starts_with('[')) return parse_columns();
    return parse_words();
  }

 private:
  Result<FilterPattern> parse_words() {
    FilterPattern pattern;
    for (skip_space(); !rest_.empty(); skip_space()) {
      std::vector<std::string>* list = &pattern.all_;
      if (rest_.starts_with('?')) list = &pattern.any_;
      if (rest_.starts_with('-')) list = &pattern.none_;
      if (list != &pattern.all_) rest_.remove_prefix(1);
      if (rest_.starts_with('%')) return no_expressions();
      std::string term;
      if (rest_.starts_with('"')) {
        TRY(term, take_quoted());
      } else {
        term = take_until(" ");
      }
      if (!term.empty()) list->push_back(std::move(term));
    }
    return pattern;
  }

  Result<FilterPattern> parse_json_pattern() {
    FilterPattern pattern;
    pattern.form_ = FilterPattern::Form::Json;
    rest_.remove_prefix(1);
    TRY(auto expression, parse_any(0, nullptr));
    CHECK(expect("}"));
    skip_space();
    if (!rest_.empty()) return wanted("nothing after \"}\"");
    pattern.expression_ = std::make_shared<Expression>(std::move(expression));
    return pattern;
  }

  Result<FilterPattern> parse_columns() {
    FilterPattern pattern;
    pattern.form_ = FilterPattern::Form::Columns;
    rest_.remove_prefix(1);
    Expression all{.kind = Expression::Kind::All, .parts = {}, .condition = {}};
    while (true) {
      skip_space();
      if (take("...")) {
        if (pattern.ellipsis_) return wanted("one \"...\" at most");
        pattern.ellipsis_ = true;
        pattern.before_ellipsis_ = pattern.columns_;
      } else {
        std::string_view before = rest_;
        std::string name = take_until(" ,]=<>!&|");
        size_t column = pattern.columns_++;
        skip_space();
        if (!rest_.starts_with(',') && !rest_.starts_with(']')) {
          if (name.empty()) return wanted("the name of a column");
          rest_ = before;
          column_ = {name, column};
          TRY(auto condition, parse_any(0, &column_));
          all.parts.push_back(std::move(condition));
        }
      }
      skip_space();
      if (take(",")) continue;
      CHECK(expect("]"));
      break;
    }
    skip_space();
    if (!rest_.empty()) return wanted("nothing after \"]\"");
    pattern.expression_ = std::make_shared<Expression>(std::move(all));
    return pattern;
  }

  struct Column {
    std::string name;
    size_t index = 0;
  };

  /// a || b; `column` is not null within columns.
  Result<Expression> parse_any(int depth, const Column* column) {
    TRY(auto first, parse_all(depth, column));
    Expression any{.kind = Expression::Kind::Any, .parts = {}, .condition = {}};
    any.parts.push_back(std::move(first));
    while (skip_space(), take("||")) {
      TRY(auto next, parse_all(depth, column));
      any.parts.push_back(std::move(next));
    }
    return any;
  }

  Result<Expression> parse_all(int depth, const Column* column) {
    TRY(auto first, parse_one(depth, column));
    Expression all{.kind = Expression::Kind::All, .parts = {}, .condition = {}};
    all.parts.push_back(std::move(first));
    while (skip_space(), take("&&")) {
      TRY(auto next, parse_one(depth, column));
      all.parts.push_back(std::move(next));
    }
    return all;
  }

  Result<Expression> parse_one(int depth, const Column* column) {
    if (depth > kMaxDepth) return wanted("fewer parentheses");
    skip_space();
    if (take("(")) {
      TRY(auto inner, parse_any(depth + 1, column));
      CHECK(expect(")"));
      return inner;
    }
    Expression leaf;
    Condition& condition = leaf.condition;
    if (column != nullptr) {
      condition.column = column->index;
      if (take_until(" ,]=<>!&|") != column->name) return wanted("the name of this column");
    } else {
      TRY(condition.path, parse_selector());
      skip_space();
      if (take_keyword("NOT")) {
        skip_space();
        if (!take_keyword("EXISTS")) return wanted("EXISTS");
        condition.op = Operator::NotExists;
        return leaf;
      }
      if (take_keyword("IS")) {
        skip_space();
        if (take_keyword("NULL"))
          condition.op = Operator::IsNull;
        else if (take_keyword("TRUE"))
          condition.op = Operator::IsTrue;
        else if (take_keyword("FALSE"))
          condition.op = Operator::IsFalse;
        else
          return wanted("NULL, TRUE or FALSE");
        return leaf;
      }
    }
    skip_space();
    TRY(condition.op, parse_operator());
    skip_space();
    TRY(condition.operand, parse_operand(column != nullptr));
    bool orders = condition.op != Operator::Equal && condition.op != Operator::NotEqual;
    if (orders && !condition.operand.number) return wanted("a number");
    return leaf;
  }

  Result<Operator> parse_operator() {
    if (take("!=")) return Operator::NotEqual;
    if (take("<=")) return Operator::LessOrEqual;
    if (take(">=")) return Operator::GreaterOrEqual;
    if (take("<")) return Operator::Less;
    if (take(">")) return Operator::Greater;
    if (take("=")) return Operator::Equal;
    return wanted("one of = != < <= > >=");
  }

  Result<Operand> parse_operand(bool in_column) {
    if (rest_.starts_with('%')) return no_expressions();
    Operand operand;
    if (rest_.starts_with('"')) {
      TRY(operand.text, take_quoted());
      return operand;
    }
    operand.text = take_until(in_column ? " ,]&|)" : " }&|)");
    if (operand.text.empty()) return wanted("a value");
    operand.number = number_of(operand.text);
    return operand;
  }

  /// $.a.b[0].c, $["a.b"]
  Result<std::vector<Step>> parse_selector() {
    if (!take("$")) return wanted("a selector such as $.level");
    std::vector<Step> path;
    while (true) {
      if (take("[")) {
        Step step;
        if (rest_.starts_with('"') || rest_.starts_with('\'')) {
          TRY(step.member, take_quoted());
        } else {
          std::string digits = take_until("]");
          size_t element = 0;
          auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), element);
          if (digits.empty() || error != std::errc() || end != digits.data() + digits.size())
            return wanted("the number of an element");
          step.element = element;
        }
        CHECK(expect("]"));
        path.push_back(std::move(step));
      } else if (take(".")) {
        if (rest_.starts_with('[')) continue;
        std::string member = take_until(" .[=<>!&|)}");
        if (member.empty()) return wanted("the name of a member");
        path.push_back({.member = std::move(member), .element = std::nullopt});
      } else {
        break;
      }
    }
    if (path.empty()) return wanted("a member after \"$\"");
    return path;
  }

  /// "...", with \" and \\.
  Result<std::string> take_quoted() {
    char quote = rest_.front();
    std::string text;
    for (size_t i = 1; i < rest_.size(); ++i) {
      if (rest_[i] == quote) {
        rest_.remove_prefix(i + 1);
        return text;
      }
      if (rest_[i] == '\\' && i + 1 < rest_.size() && (rest_[i + 1] == quote || rest_[i + 1] == '\\')) ++i;
      text += rest_[i];
    }
    return wanted("the end of what was quoted");
  }

  std::string take_until(std::string_view stops) {
    size_t end = std::min(rest_.find_first_of(stops), rest_.size());
    std::string word(rest_.substr(0, end));
    rest_.remove_prefix(end);
    return word;
  }
  bool take(std::string_view token) {
    if (!rest_.starts_with(token)) return false;
    rest_.remove_prefix(token.size());
    return true;
  }
  bool take_keyword(std::string_view word) {
    if (rest_.size() < word.size()) return false;
    for (size_t i = 0; i < word.size(); ++i) {
      if ((rest_[i] & ~0x20) != word[i]) return false;
    }
    rest_.remove_prefix(word.size());
    return true;
  }
  Result<void> expect(std::string_view token) {
    skip_space();
    if (take(token)) return {};
    return wanted(fmt::format("\"{}\"", token));
  }
  void skip_space() {
    while (!rest_.empty() && (rest_.front() == ' ' || rest_.front() == '\t' || rest_.front() == '\n'))
      rest_.remove_prefix(1);
  }
  Error wanted(std::string_view what) const {
    return failure(Kind::InvalidArgument, "Invalid filter pattern: expected {} at position {}", what,
                   whole_.size() - rest_.size());
  }
  static Error no_expressions() {
    return Error(Kind::InvalidArgument,
                 "Invalid filter pattern: regular expressions (%...%) are not supported here");
  }

  std::string_view whole_, rest_;
  Column column_;
};

Result<FilterPattern> FilterPattern::parse(std::string_view text) {
  if (text.size() > kMaxPattern) {
    return failure(
        Kind::InvalidArgument,
        "1 validation error detected: Value at 'filterPattern' failed to satisfy constraint: Member must "
        "have length less than or equal to {}",
        kMaxPattern);
  }
  return FilterParser(text).parse();
}

bool FilterPattern::matches(std::string_view message) const {
  if (form_ == Form::Words) {
    auto holds = [&](const std::string& term) { return message.find(term) != std::string_view::npos; };
    return (any_.empty() || std::any_of(any_.begin(), any_.end(), holds)) &&
           std::all_of(all_.begin(), all_.end(), holds) && std::none_of(none_.begin(), none_.end(), holds);
  }
  if (form_ == Form::Json) {
    while (!message.empty() && (message.front() == ' ' || message.front() == '\t')) message.remove_prefix(1);
    if (!message.starts_with('{')) return false;
    auto document = parse_json(message);
    return document && document->is_object() && expression_->holds(*document);
  }
  auto fields = fields_of(message);
  if (ellipsis_ ? fields.size() < columns_ : fields.size() != columns_) return false;
  if (ellipsis_) {
    auto begin = fields.begin() + static_cast<std::ptrdiff_t>(before_ellipsis_);
    fields.erase(begin, begin + static_cast<std::ptrdiff_t>(fields.size() - columns_));
  }
  return expression_->holds(fields);
}

}  // namespace berth::functions
