// Go's fmt.Sprintf for the verbs that templates use.
#include <cmath>
#include <cstdio>

#include "apps/berth/gotemplate/functions.h"
#include "apps/berth/output/units.h"
#include "base/format.h"

namespace berth::cli::gotemplate {
namespace {

constexpr int max_width = 10'000;

struct Directive {
  bool minus = false;
  bool plus = false;
  bool sharp = false;
  bool space = false;
  bool zero = false;
  int width = -1;
  int precision = -1;
  char verb = 0;
};

std::string pad(std::string text, const Directive& directive, bool numeric) {
  size_t length = output::display_width(text);
  if (directive.width < 0 || length >= static_cast<size_t>(directive.width)) return text;
  size_t missing = static_cast<size_t>(directive.width) - length;
  if (directive.minus) return text + std::string(missing, ' ');
  if (!directive.zero) return std::string(missing, ' ') + text;
  bool sign = numeric && !text.empty() && (text[0] == '-' || text[0] == '+');
  return (sign ? text.substr(0, 1) : "") + std::string(missing, '0') + text.substr(sign ? 1 : 0);
}

std::string bad_verb(char verb, const Value& value) {
  if (value.nil() || value.missing()) return fmt::format("%!{}(<nil>)", verb);
  return fmt::format("%!{}({}={})", verb, value.type_name(), value.print());
}

std::string cut(std::string text, int precision) {
  if (precision < 0) return text;
  size_t at = 0;
  for (int i = 0; i < precision && at < text.size(); ++i) {
    do {
      ++at;
    } while (at < text.size() && (static_cast<unsigned char>(text[at]) & 0xC0) == 0x80);
  }
  return text.substr(0, at);
}

std::string hexadecimal(std::string_view bytes, bool upper) {
  std::string text;
  for (char c : bytes) {
    auto byte = static_cast<unsigned char>(c);
    text += upper ? fmt::format("{:02X}", byte) : fmt::format("{:02x}", byte);
  }
  return text;
}

std::string format_text(const Directive& directive, const std::string& text, const Value& value) {
  switch (directive.verb) {
    case 's':
    case 'v':
      if (directive.verb == 'v' && directive.sharp) return pad(output::quoted(text), directive, false);
      return pad(cut(text, directive.precision), directive, false);
    case 'q':
      return pad(output::quoted(cut(text, directive.precision)), directive, false);
    case 'x':
    case 'X':
      return pad(hexadecimal(text, directive.verb == 'X'), directive, false);
    default:
      return bad_verb(directive.verb, value);
  }
}

std::string format_integer(const Directive& directive, bool negative, uint64_t magnitude,
                           const Value& value) {
  std::string digits;
  switch (directive.verb) {
    case 'v':
    case 'd':
      digits = fmt::format("{}", magnitude);
      break;
    case 'x':
      digits = fmt::format("{}{:x}", directive.sharp ? "0x" : "", magnitude);
      break;
    case 'X':
      digits = fmt::format("{}{:X}", directive.sharp ? "0X" : "", magnitude);
      break;
    case 'o':
      digits = fmt::format("{}{:o}", directive.sharp ? "0" : "", magnitude);
      break;
    case 'b':
      digits = fmt::format("{:b}", magnitude);
      break;
    case 'c':
      return pad(std::string(1, static_cast<char>(magnitude & 0x7F)), directive, false);
    default:
      return bad_verb(directive.verb, value);
  }
  if (directive.precision > 0 && digits.size() < static_cast<size_t>(directive.precision)) {
    digits.insert(0, static_cast<size_t>(directive.precision) - digits.size(), '0');
  }
  std::string sign = negative ? "-" : directive.plus ? "+" : directive.space ? " " : "";
  return pad(sign + digits, directive, true);
}

std::string format_real(const Directive& directive, double number, const Value& value) {
  std::string_view verbs = "eEfFgG";
  if (directive.verb == 'v' || (directive.verb == 'g' && directive.precision < 0)) {
    return pad(print_float(number), directive, true);
  }
  if (verbs.find(directive.verb) == std::string_view::npos) return bad_verb(directive.verb, value);
  char format[] = {'%', '.', '*', directive.verb, '\0'};
  char text[512];
  int precision = std::min(directive.precision < 0 ? 6 : directive.precision, 100);
  // The verb comes from the list above.
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
  int length = std::snprintf(text, sizeof text, format, precision, number);
#pragma GCC diagnostic pop
  return pad(std::string(text, static_cast<size_t>(std::min<int>(length, sizeof text - 1))), directive, true);
}

std::string format_one(const Directive& directive, const Value& value) {
  if (directive.verb == 'T') return pad(value.type_name(), directive, false);
  if (const std::string* text = value.string()) return format_text(directive, *text, value);
  if (const int64_t* number = value.as<int64_t>()) {
    uint64_t magnitude = *number < 0 ? 0 - static_cast<uint64_t>(*number) : static_cast<uint64_t>(*number);
    return format_integer(directive, *number < 0, magnitude, value);
  }
  if (const uint64_t* number = value.as<uint64_t>()) return format_integer(directive, false, *number, value);
  if (const double* number = value.as<double>()) return format_real(directive, *number, value);
  if (const bool* flag = value.as<bool>()) {
    if (directive.verb != 'v' && directive.verb != 't') return bad_verb(directive.verb, value);
    return pad(*flag ? "true" : "false", directive, false);
  }
  if (const List* list = value.list(); list != nullptr && directive.verb != 'v') {
    std::string text = "[";
    for (size_t i = 0; i < list->size(); ++i) text += (i > 0 ? " " : "") + format_one(directive, (*list)[i]);
    return text + "]";
  }
  if (directive.verb == 'v' || value.object() != nullptr) {
    return pad(value.missing() ? "<nil>" : value.print(), directive, false);
  }
  return bad_verb(directive.verb, value);
}

class Printer {
 public:
  Printer(std::string_view format, const std::vector<Value>& arguments)
      : format_(format), arguments_(arguments) {}

  std::string run() {
    while (at_ < format_.size()) {
      if (format_[at_] != '%') {
        out_ += format_[at_++];
      } else {
        ++at_;
        directive();
      }
    }
    if (next_ < arguments_.size()) extra();
    return std::move(out_);
  }

 private:
  bool flag(Directive& directive) {
    switch (format_[at_]) {
      case '-':
        directive.minus = true;
        return true;
      case '+':
        directive.plus = true;
        return true;
      case '#':
        directive.sharp = true;
        return true;
      case ' ':
        directive.space = true;
        return true;
      case '0':
        directive.zero = true;
        return true;
      default:
        return false;
    }
  }

  int number() {
    if (at_ < format_.size() && format_[at_] == '*') {
      ++at_;
      const int64_t* value = next_ < arguments_.size() ? arguments_[next_].as<int64_t>() : nullptr;
      ++next_;
      return value == nullptr ? -1 : static_cast<int>(std::clamp<int64_t>(*value, -max_width, max_width));
    }
    int value = -1;
    while (at_ < format_.size() && format_[at_] >= '0' && format_[at_] <= '9') {
      value = std::min((value < 0 ? 0 : value) * 10 + (format_[at_++] - '0'), max_width);
    }
    return value;
  }

  void directive() {
    Directive directive;
    while (at_ < format_.size() && flag(directive)) ++at_;
    directive.width = number();
    if (at_ < format_.size() && format_[at_] == '.') {
      ++at_;
      directive.precision = std::max(number(), 0);
    }
    if (at_ >= format_.size()) {
      out_ += "%!(NOVERB)";
      return;
    }
    directive.verb = format_[at_++];
    if (directive.minus) directive.zero = false;
    if (directive.verb == '%') {
      out_ += '%';
    } else if (next_ >= arguments_.size()) {
      out_ += fmt::format("%!{}(MISSING)", directive.verb);
    } else {
      out_ += format_one(directive, arguments_[next_++]);
    }
  }

  void extra() {
    out_ += "%!(EXTRA ";
    for (size_t i = next_; i < arguments_.size(); ++i) {
      if (i > next_) out_ += ", ";
      const Value& value = arguments_[i];
      out_ +=
          value.missing() || value.nil() ? "<nil>" : fmt::format("{}={}", value.type_name(), value.print());
    }
    out_ += ')';
  }

  std::string_view format_;
  const std::vector<Value>& arguments_;
  size_t at_ = 0;
  size_t next_ = 0;
  std::string out_;
};

}  // namespace

std::string print_formatted(std::string_view format, const std::vector<Value>& arguments) {
  return Printer(format, arguments).run();
}

}  // namespace berth::cli::gotemplate
