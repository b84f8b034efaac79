// Detach keys.
#include "apps/berth/terminal/detach_keys.h"

#include "base/format.h"

namespace berth::cli::terminal {

Result<std::string> parse_detach_keys(std::string_view text) {
  std::string bytes;
  for (std::string_view rest = text;;) {
    std::string_view key = rest.substr(0, rest.find(','));
    constexpr std::string_view control = "ctrl-";
    if (key.size() == 1) {
      bytes += key;
    } else if (key.starts_with(control) && key.size() == control.size() + 1) {
      char letter = key.back();
      if (letter >= 'a' && letter <= 'z') {
        bytes += static_cast<char>(letter - 'a' + 1);
      } else if (letter >= '@' && letter <= '_' && !(letter >= 'A' && letter <= 'Z')) {
        bytes += static_cast<char>(letter - '@');
      } else {
        return failure(Kind::InvalidArgument, "Unknown character: '{}'", key);
      }
    } else {
      return failure(Kind::InvalidArgument, "Unknown character: '{}'", key);
    }
    if (key.size() == rest.size()) return bytes;
    rest.remove_prefix(key.size() + 1);
  }
}

bool DetachWatch::feed(std::string_view typed) {
  if (sequence_.empty()) return false;
  for (char key : typed) {
    if (key == sequence_[matched_]) {
      if (++matched_ == sequence_.size()) return true;
    } else {
      matched_ = key == sequence_[0] ? 1 : 0;
      if (matched_ == sequence_.size()) return true;
    }
  }
  return false;
}

}  // namespace berth::cli::terminal
