// One flag of berthd's command line, and the ways in which flags set options. For the tables of options.cc
// and docker_flags.cc alone.
#pragma once

#include <charconv>
#include <span>
#include <string_view>

#include "apps/berthd/options.h"
#include "base/format.h"

namespace berth::berthd {

struct Flag {
  std::string_view name;
  char letter;  // 0: none
  std::string_view
      value;  // what the help calls the value; empty: a switch, which may still take =true or =false
  std::string_view help;  // empty: taken for compatibility and not shown
  Result<void> (*apply)(Options& options, std::string_view value);
};

inline Result<bool> boolean(std::string_view text) {
  for (std::string_view yes : {"true", "1", "t", "TRUE", "True"}) {
    if (text == yes) return true;
  }
  for (std::string_view no : {"false", "0", "f", "FALSE", "False"}) {
    if (text == no) return false;
  }
  return failure(Kind::InvalidArgument, "invalid argument \"{}\": expected true or false", text);
}

template <class T>
Result<T> number(std::string_view text) {
  T value{};
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc{} || end != text.data() + text.size()) {
    return failure(Kind::InvalidArgument, "invalid argument \"{}\": expected a number", text);
  }
  return value;
}

template <std::string Options::*Member>
Result<void> set_text(Options& options, std::string_view value) {
  options.*Member = value;
  return {};
}
template <bool Options::*Member>
Result<void> set_switch(Options& options, std::string_view value) {
  TRY(options.*Member, boolean(value));
  return {};
}
template <std::vector<std::string> Options::*Member>
Result<void> append(Options& options, std::string_view value) {
  (options.*Member).emplace_back(value);
  return {};
}
inline Result<void> ignore(Options&, std::string_view) {
  return {};
}

/// dockerd's flags and keys of daemon.json that are taken so that its units and files go on working, without
/// a meaning here, or are refused with a way out.
std::span<const Flag> docker_flags();

}  // namespace berth::berthd
