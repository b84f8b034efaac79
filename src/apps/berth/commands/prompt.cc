// Questions to the user.
#include "apps/berth/commands/prompt.h"

#include <errno.h>
#include <termios.h>
#include <unistd.h>

namespace berth::cli::commands {
namespace {

constexpr size_t max_line = 64 * 1024;

/// One line of standard input without its newline, byte by byte so that nothing behind it is taken.
std::string read_line() {
  std::string line;
  char c = 0;
  while (line.size() < max_line) {
    ssize_t got = ::read(STDIN_FILENO, &c, 1);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0 || c == '\n') break;
    line += c;
  }
  if (line.ends_with('\r')) line.pop_back();
  return line;
}

/// Switches the echo of the terminal off until it goes out of scope.
class Silence {
 public:
  Silence() {
    active_ = ::tcgetattr(STDIN_FILENO, &saved_) == 0;
    if (!active_) return;
    termios quiet = saved_;
    quiet.c_lflag &= ~static_cast<tcflag_t>(ECHO);
    ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &quiet);
  }
  ~Silence() {
    if (active_) ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &saved_);
  }
  Silence(const Silence&) = delete;
  Silence& operator=(const Silence&) = delete;

 private:
  bool active_ = false;
  termios saved_{};
};

}  // namespace

bool confirm(Context& context, std::string_view question) {
  context.out.print("{} [y/N] ", question);
  context.out.flush();
  std::string answer = read_line();
  for (char& c : answer) c = c >= 'A' && c <= 'Z' ? static_cast<char>(c - 'A' + 'a') : c;
  while (answer.ends_with(' ')) answer.pop_back();
  return answer == "y" || answer == "yes";
}

Outcome<std::string> ask(Context& context, std::string_view label, Echo echo) {
  context.err.write(label);
  context.err.flush();
  if (echo == Echo::On) return read_line();
  std::string secret;
  {
    Silence silence;
    secret = read_line();
  }
  context.err.line("");
  context.err.flush();
  return secret;
}

}  // namespace berth::cli::commands
