// Identifiers: 64 random hex digits, as docker names containers, networks and execs.
#pragma once

#include <string>
#include <string_view>

namespace berth {

/// 64 lower-case hex digits from getrandom(2). Never all digits in its first twelve characters, so
/// that a short id is not mistaken for a number (docker does the same).
std::string random_id();
/// `bytes` random bytes as hex.
std::string random_hex(size_t bytes);
/// A container name like "brave_kepler".
std::string random_name();
/// True for docker's name grammar: [a-zA-Z0-9][a-zA-Z0-9_.-]+
bool is_valid_name(std::string_view name);

}  // namespace berth
