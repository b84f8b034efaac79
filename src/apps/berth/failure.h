// Failure: why a command stops, and with which exit code. It remembers whether the engine or the client said
// so, since scripts match on "Error response from daemon:". Errors of the lower floors convert to it.
#pragma once

#include <expected>
#include <string>
#include <utility>

#include "base/format.h"
#include "base/result.h"

namespace berth::cli {

struct Failure {
  /// Who speaks decides the prefix of the line on stderr.
  enum class Origin {
    Client,  ///< "berth: <message>"
    Daemon,  ///< "Error response from daemon: <message>"
    Plain,   ///< the message as it is
    Silent,  ///< nothing is printed: the exit code says it all
  };

  Origin origin = Origin::Client;
  std::string message;
  int exit_code = 1;
  /// Status of the engine's answer; 0 when it did not come from the engine.
  int http_status = 0;

  static Failure client(std::string message, int exit_code = 1) {
    return {Origin::Client, std::move(message), exit_code, 0};
  }
  static Failure plain(std::string message, int exit_code = 1) {
    return {Origin::Plain, std::move(message), exit_code, 0};
  }
  static Failure daemon(std::string message, int http_status) {
    return {Origin::Daemon, std::move(message), 1, http_status};
  }
  /// Leaves with `exit_code` and without a word.
  static Failure exit(int exit_code) { return {Origin::Silent, {}, exit_code, 0}; }

  bool not_found() const { return http_status == 404; }
  /// The line as a user sees it, without the program's name: "Error response from daemon: ..." or the
  /// message.
  std::string text() const {
    return origin == Origin::Daemon ? "Error response from daemon: " + message : message;
  }
};

template <class... Args>
Failure refuse(fmt::format_string<Args...> text, Args&&... args) {
  return Failure::client(fmt::format(text, std::forward<Args>(args)...));
}

/// A value or the Failure that ends the command. TRY and CHECK of base/result.h work with it.
template <class T>
class [[nodiscard]] Outcome : public std::expected<T, Failure> {
 public:
  using Base = std::expected<T, Failure>;
  using Base::Base;
  Outcome(Failure failure) : Base(std::unexpect, std::move(failure)) {}  // NOLINT: implicit by design
  Outcome(const Error& error) : Base(std::unexpect, Failure::client(error.message())) {}  // NOLINT
};

template <>
class [[nodiscard]] Outcome<void> : public std::expected<void, Failure> {
 public:
  using Base = std::expected<void, Failure>;
  using Base::Base;
  Outcome() = default;
  Outcome(Failure failure) : Base(std::unexpect, std::move(failure)) {}  // NOLINT: implicit by design
  Outcome(const Error& error) : Base(std::unexpect, Failure::client(error.message())) {}  // NOLINT
};

}  // namespace berth::cli
