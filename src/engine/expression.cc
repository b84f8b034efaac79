// RE2.
#include "engine/expression.h"

#include <re2/re2.h>

#include <string>

#include "base/format.h"

namespace berth::engine {
namespace {

constexpr size_t kLongest = 4096;
constexpr int64_t kMostMemory = 1 << 20;

re2::StringPiece piece(std::string_view text) {
  return {text.data(), text.size()};
}

}  // namespace

Expression::Expression(std::unique_ptr<re2::RE2> compiled) : compiled_(std::move(compiled)) {}
Expression::Expression(Expression&&) noexcept = default;
Expression& Expression::operator=(Expression&&) noexcept = default;
Expression::~Expression() = default;

Result<Expression> Expression::compile(std::string_view text) {
  if (text.size() > kLongest)
    return failure(Kind::InvalidArgument, "error parsing regexp: it has more than {} bytes", kLongest);
  re2::RE2::Options options(re2::RE2::Quiet);
  options.set_max_mem(kMostMemory);
  options.set_never_capture(true);
  auto compiled = std::make_unique<re2::RE2>(piece(text), options);
  if (!compiled->ok()) return failure(Kind::InvalidArgument, "error parsing regexp: {}", compiled->error());
  return Expression(std::move(compiled));
}

bool Expression::matches(std::string_view text) const {
  return re2::RE2::PartialMatch(piece(text), *compiled_);
}

}  // namespace berth::engine
