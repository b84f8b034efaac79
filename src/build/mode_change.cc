// Parsing and applying --chmod.
#include "build/mode_change.h"

#include "base/format.h"

namespace berth::build {
namespace {

constexpr uint32_t user_class = 04700;
constexpr uint32_t group_class = 02070;
constexpr uint32_t other_class = 01007;

uint32_t class_of(char c) {
  switch (c) {
    case 'u':
      return user_class;
    case 'g':
      return group_class;
    case 'o':
      return other_class;
    case 'a':
      return user_class | group_class | other_class;
    default:
      return 0;
  }
}

uint32_t spread(uint32_t three_bits) {
  return three_bits | (three_bits << 3) | (three_bits << 6);
}

Error invalid(std::string_view text) {
  return failure(
      Kind::InvalidArgument,
      "invalid chmod parameter: '{}'. it should be octal string and between 0 and 07777, or symbolic "
      "as in u=rwX,go=rX",
      text);
}

}  // namespace

Result<ModeChange> ModeChange::parse(std::string_view text) {
  ModeChange change;
  constexpr size_t longest = 256;
  if (text.empty() || text.size() > longest) return invalid(text.substr(0, longest));
  if (text[0] >= '0' && text[0] <= '9') {
    change.absolute_ = true;
    for (const char c : text) {
      if (c < '0' || c > '7') return invalid(text);
      change.mode_ = change.mode_ * 8 + static_cast<uint32_t>(c - '0');
      if (change.mode_ > 07777) return invalid(text);
    }
    return change;
  }
  size_t i = 0;
  while (true) {
    uint32_t who = 0;
    while (i < text.size() && class_of(text[i]) != 0) who |= class_of(text[i++]);
    if (who == 0) who = class_of('a');
    size_t operations = 0;
    while (i < text.size() && (text[i] == '+' || text[i] == '-' || text[i] == '=')) {
      Clause clause{.who = who, .operation = text[i++]};
      for (; i < text.size() && text[i] != ',' && text[i] != '+' && text[i] != '-' && text[i] != '='; ++i) {
        switch (text[i]) {
          case 'r':
            clause.bits |= spread(4);
            break;
          case 'w':
            clause.bits |= spread(2);
            break;
          case 'x':
            clause.bits |= spread(1);
            break;
          case 'X':
            clause.execute_if_sensible = true;
            break;
          case 's':
            clause.bits |= 06000;
            break;
          case 't':
            clause.bits |= 01000;
            break;
          case 'u':
          case 'g':
          case 'o':
            clause.copy_from = text[i];
            break;
          default:
            return invalid(text);
        }
      }
      change.clauses_.push_back(clause);
      ++operations;
    }
    if (operations == 0) return invalid(text);
    if (i == text.size()) return change;
    if (text[i++] != ',') return invalid(text);
  }
}

uint32_t ModeChange::apply(uint32_t mode, bool is_directory) const {
  if (absolute_) return mode_;
  mode &= 07777;
  for (const auto& clause : clauses_) {
    uint32_t bits = clause.bits;
    if (clause.execute_if_sensible && (is_directory || (mode & 0111))) bits |= 0111;
    if (clause.copy_from == 'u') bits |= spread((mode >> 6) & 7);
    if (clause.copy_from == 'g') bits |= spread((mode >> 3) & 7);
    if (clause.copy_from == 'o') bits |= spread(mode & 7);
    bits &= clause.who;
    // As in chmod(1), '=' leaves the set-id bits of directories alone unless they are named.
    const uint32_t kept = is_directory ? mode & 06000 & ~bits : 0;
    if (clause.operation == '+') mode |= bits;
    if (clause.operation == '-') mode &= ~bits;
    if (clause.operation == '=') mode = (mode & ~clause.who) | bits | (kept & clause.who);
  }
  return mode;
}

}  // namespace berth::build
