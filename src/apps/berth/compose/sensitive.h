// What looks like a key or a token in text that is about to be published. Pure.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace berth::cli::compose {

struct Sensitive {
  std::string_view kind;  ///< "AWS Secret Key"
  std::string value;
};

/// Keys of AWS, tokens of GitHub, web tokens (JWT), private keys (PEM).
std::vector<Sensitive> find_sensitive(const std::string& text);

}  // namespace berth::cli::compose
