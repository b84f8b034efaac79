// Database: a thin wrapper over one SQLite connection, usable from several threads: a Statement or
// Transaction holds the connection for its lifetime (recursively on the same thread), so keep them short and
// never across a co_await. Small caches, since the idle daemon is measured.
#pragma once

#include <concepts>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "base/digest.h"
#include "base/result.h"

struct sqlite3_stmt;

namespace berth::storage {

class Statement;
class Transaction;

struct DatabaseOptions {
  int cache_kibibytes = 256;
  int busy_timeout_ms = 5000;
};

class Database {
 public:
  /// Opens or creates (mode 0600), WAL, synchronous=NORMAL, foreign keys on. A damaged file: Corrupt; one
  /// written by a newer berth: Unsupported; both name the file and the way out.
  static Result<std::unique_ptr<Database>> open(const std::string& path, const DatabaseOptions& options = {});
  ~Database();
  Database(const Database&) = delete;
  Database& operator=(const Database&) = delete;

  /// Brings the tables of `component` ("images", "engine", ...) up to date: step i takes version i to i+1,
  /// each in its own transaction. A stored version above steps.size(): Unsupported (written by a newer
  /// berth).
  Result<void> migrate(std::string_view component, std::span<const std::string_view> steps);

  /// One or more statements without results.
  Result<void> execute(std::string_view sql);
  /// Prepared statements are cached by their text.
  Result<Statement> prepare(std::string_view sql);
  /// BEGIN IMMEDIATE. Nested on the same thread: a savepoint.
  Result<Transaction> begin();
  /// Row id of the last insert by this thread's statement.
  int64_t last_insert_id() const;
  /// Rows changed by the last statement.
  int64_t changes() const;
  const std::string& path() const;
  /// Gives cached pages and statements back; for an idle daemon.
  void release_memory();
  /// Writes the WAL back into the file.
  Result<void> checkpoint();

  struct State;

 private:
  explicit Database(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

/// One use of a prepared statement: bind, then run() or step() through the rows.
class Statement {
 public:
  Statement(Statement&&) noexcept;
  Statement& operator=(Statement&&) = delete;
  ~Statement();

  /// Parameters count from 1, in the order of the calls: s.bind("x").bind(3).
  Statement& bind(std::string_view text);
  Statement& bind(const char* text) { return bind(std::string_view(text)); }
  Statement& bind(const std::string& text) { return bind(std::string_view(text)); }
  /// Integers and bool; above INT64_MAX they wrap, as SQLite stores 64 bits.
  template <std::integral T>
  Statement& bind(T value) {
    return bind_integer(static_cast<int64_t>(value));
  }
  Statement& bind(const Digest& digest) { return bind(digest.str()); }
  template <class T>
  Statement& bind(const std::optional<T>& value) {
    return value ? bind(*value) : bind_null();
  }
  Statement& bind_null();
  Statement& bind_integer(int64_t value);
  Statement& bind_blob(std::string_view bytes);

  /// True while there is a row. Errors of bind come out here. UNIQUE and foreign-key violations:
  /// AlreadyExists and WrongState; full disk: Exhausted.
  Result<bool> step();
  /// Runs to the end.
  Result<void> run();

  /// Columns count from 0.
  std::string text(int column) const;
  std::string blob(int column) const;
  int64_t integer(int column) const;
  bool is_null(int column) const;
  std::optional<std::string> optional_text(int column) const;
  /// A digest that this program has stored; a malformed one: Corrupt.
  Result<Digest> digest(int column) const;
  Result<std::optional<Digest>> optional_digest(int column) const;

 private:
  friend class Database;
  Statement(Database::State* state, sqlite3_stmt* handle, std::unique_lock<std::recursive_mutex> lock);
  Database::State* state_;
  sqlite3_stmt* handle_;
  std::unique_lock<std::recursive_mutex> lock_;
  int next_parameter_ = 1;
  int bind_error_ = 0;
};

/// Rolls back unless committed.
class Transaction {
 public:
  Transaction(Transaction&&) noexcept;
  Transaction& operator=(Transaction&&) = delete;
  ~Transaction();
  Result<void> commit();

 private:
  friend class Database;
  Transaction(Database::State* state, std::unique_lock<std::recursive_mutex> lock, int depth);
  Database::State* state_;
  std::unique_lock<std::recursive_mutex> lock_;
  int depth_ = 0;
};

}  // namespace berth::storage
