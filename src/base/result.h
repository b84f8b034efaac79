// Result<T> and the statement macros that pass errors up. Statement macros, not expressions: g++ 12
// crashes on a statement expression that contains co_await.
#pragma once

#include <expected>
#include <utility>

#include "base/error.h"

namespace berth {

/// A value or the Error that stood in its way.
template <class T>
class [[nodiscard]] Result : public std::expected<T, Error> {
 public:
  using Base = std::expected<T, Error>;
  using Base::Base;
  Result(Error error) : Base(std::unexpect, std::move(error)) {}  // NOLINT: implicit by design
  Result(std::unexpected<Error> error) : Base(std::unexpect, std::move(error).error()) {}  // NOLINT
};

template <>
class [[nodiscard]] Result<void> : public std::expected<void, Error> {
 public:
  using Base = std::expected<void, Error>;
  using Base::Base;
  Result() = default;
  Result(Error error) : Base(std::unexpect, std::move(error)) {}  // NOLINT: implicit by design
  Result(std::unexpected<Error> error) : Base(std::unexpect, std::move(error).error()) {}  // NOLINT
};

}  // namespace berth

#define BERTH_CONCAT_(a, b) a##b
#define BERTH_CONCAT(a, b) BERTH_CONCAT_(a, b)
#define BERTH_TRY_(leave, tmp, declaration, ...) \
  auto tmp = (__VA_ARGS__);                      \
  if (!tmp) leave std::move(tmp).error();        \
  declaration = std::move(*tmp)

/// TRY(auto fd, open(path)); declares fd, or returns the error from the enclosing function.
#define TRY(declaration, ...) \
  BERTH_TRY_(return, BERTH_CONCAT(berth_try_, __COUNTER__), declaration, __VA_ARGS__)
/// The same inside a coroutine: CO_TRY(auto reply, co_await ask());
#define CO_TRY(declaration, ...) \
  BERTH_TRY_(co_return, BERTH_CONCAT(berth_try_, __COUNTER__), declaration, __VA_ARGS__)

#define BERTH_CHECK_(leave, ...)                                                                 \
  do {                                                                                           \
    if (auto berth_check_ = (__VA_ARGS__); !berth_check_) leave std::move(berth_check_).error(); \
  } while (false)

/// CHECK(write_file(...)); returns the error, drops the value.
#define CHECK(...) BERTH_CHECK_(return, __VA_ARGS__)
#define CO_CHECK(...) BERTH_CHECK_(co_return, __VA_ARGS__)
