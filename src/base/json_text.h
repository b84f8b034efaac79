// JsonText: JSON written straight into a string, for answers that are large and asked for often. Whoever
// builds anything more than a list of plain members uses Json (json.h).
#pragma once

#include <concepts>
#include <string>
#include <string_view>

namespace berth {

/// Appends the string as JSON, as to_json() would: bytes that are not UTF-8 become U+FFFD.
void append_json_string(std::string& out, std::string_view text);

/// One object, member by member.
class JsonText {
 public:
  explicit JsonText(std::string& out) : out_(out) { out_.push_back('{'); }
  JsonText(const JsonText&) = delete;
  ~JsonText() { out_.push_back('}'); }

  JsonText& text(std::string_view key, std::string_view value) {
    begin(key);
    append_json_string(out_, value);
    return *this;
  }
  template <std::integral T>
  JsonText& number(std::string_view key, T value) {
    begin(key);
    out_ += std::to_string(value);
    return *this;
  }
  /// A value that is JSON already.
  JsonText& raw(std::string_view key, std::string_view value) {
    begin(key);
    out_ += value;
    return *this;
  }
  /// Where a nested value is to be appended next.
  std::string& begin(std::string_view key) {
    if (!first_) out_.push_back(',');
    first_ = false;
    append_json_string(out_, key);
    out_.push_back(':');
    return out_;
  }

 private:
  std::string& out_;
  bool first_ = true;
};

}  // namespace berth
