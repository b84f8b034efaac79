// SQLite connection, its statements and transactions.
#include "storage/database.h"

#include <fcntl.h>
#include <sqlite3.h>

#include <map>
#include <vector>

#include "base/format.h"
#include "sys/fd.h"

namespace berth::storage {
namespace {

/// Version of the file's overall shape; components version their own tables in berth_schema.
constexpr int64_t file_format = 1;
constexpr size_t max_cached_statements = 48;

Kind kind_of(int code) {
  switch (code & 0xff) {
    case SQLITE_FULL:
      return Kind::Exhausted;
    case SQLITE_NOMEM:
      return Kind::Exhausted;
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return Kind::Corrupt;
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
      return Kind::Unavailable;
    case SQLITE_CANTOPEN:
      return Kind::NotFound;
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_AUTH:
      return Kind::Forbidden;
    case SQLITE_CONSTRAINT:
      return code == SQLITE_CONSTRAINT_FOREIGNKEY ? Kind::WrongState
             : code == SQLITE_CONSTRAINT_UNIQUE || code == SQLITE_CONSTRAINT_PRIMARYKEY
                 ? Kind::AlreadyExists
                 : Kind::InvalidArgument;
    default:
      return Kind::Internal;
  }
}

}  // namespace

struct Database::State {
  std::string path;
  sqlite3* handle = nullptr;
  std::recursive_mutex mutex;
  int depth = 0;
  std::map<std::string, sqlite3_stmt*, std::less<>> idle;

  ~State() {
    drop_statements();
    sqlite3_close_v2(handle);
  }

  void drop_statements() {
    for (auto& [sql, statement] : idle) sqlite3_finalize(statement);
    idle.clear();
  }

  Error error(int code, std::string_view doing) const {
    Kind kind = kind_of(code);
    std::string_view way_out;
    if (kind == Kind::Corrupt) way_out = "; move the file away to start afresh, or restore it from a backup";
    if (kind == Kind::Unavailable) way_out = "; another process holds it";
    return failure(kind, "database {}: {}: {}{}", path, doing,
                   handle ? sqlite3_errmsg(handle) : sqlite3_errstr(code), way_out);
  }

  Result<void> execute(const std::string& sql) {
    int code = sqlite3_exec(handle, sql.c_str(), nullptr, nullptr, nullptr);
    if (code != SQLITE_OK) return error(sqlite3_extended_errcode(handle), sql.substr(0, 80));
    return {};
  }
};

Database::Database(std::unique_ptr<State> state) : state_(std::move(state)) {}
Database::~Database() = default;

Result<std::unique_ptr<Database>> Database::open(const std::string& path, const DatabaseOptions& options) {
  // Made here for its mode: SQLite gives its -wal and -shm files the mode of the main file.
  { TRY(sys::UniqueFd file, sys::open_file(path.c_str(), O_RDWR | O_CREAT | O_NOFOLLOW, 0600)); }
  auto state = std::make_unique<State>();
  state->path = path;
  int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_FULLMUTEX;
  int code = sqlite3_open_v2(path.c_str(), &state->handle, flags, nullptr);
  if (code != SQLITE_OK) return state->error(code, "open");
  sqlite3_extended_result_codes(state->handle, 1);
  sqlite3_busy_timeout(state->handle, options.busy_timeout_ms);
  CHECK(state->execute(fmt::format("PRAGMA cache_size=-{}; PRAGMA temp_store=MEMORY; PRAGMA mmap_size=0;",
                                   options.cache_kibibytes)));
  CHECK(state->execute("PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA foreign_keys=ON;"));
  std::unique_ptr<Database> database(new Database(std::move(state)));

  int64_t version = 0;
  {
    TRY(Statement read, database->prepare("PRAGMA user_version"));
    TRY(bool row, read.step());
    if (row) version = read.integer(0);
  }
  if (version > file_format) {
    return failure(
        Kind::Unsupported,
        "database {}: written by a newer berth (format {}, this one knows {}); upgrade berth, or use "
        "another --data-root",
        path, version, file_format);
  }
  if (version < file_format) CHECK(database->execute(fmt::format("PRAGMA user_version={}", file_format)));
  CHECK(database->execute(
      "CREATE TABLE IF NOT EXISTS berth_schema(component TEXT PRIMARY KEY, version INTEGER NOT NULL)"
      " WITHOUT ROWID"));
  return database;
}

Result<void> Database::migrate(std::string_view component, std::span<const std::string_view> steps) {
  size_t version = 0;
  {
    TRY(Statement read, prepare("SELECT version FROM berth_schema WHERE component = ?"));
    TRY(bool found, read.bind(component).step());
    if (found) version = static_cast<size_t>(read.integer(0));
  }
  if (version > steps.size()) {
    return failure(
        Kind::Unsupported,
        "database {}: its \"{}\" tables were written by a newer berth (version {}, this one knows {}); "
        "upgrade berth, or use another --data-root",
        path(), component, version, steps.size());
  }
  for (; version < steps.size(); ++version) {
    TRY(Transaction transaction, begin());
    CHECK(execute(steps[version]));
    TRY(Statement write, prepare("INSERT INTO berth_schema(component, version) VALUES(?, ?) "
                                 "ON CONFLICT(component) DO UPDATE SET version = excluded.version"));
    CHECK(write.bind(component).bind(version + 1).run());
    CHECK(transaction.commit());
  }
  return {};
}

Result<void> Database::execute(std::string_view sql) {
  std::unique_lock lock(state_->mutex);
  return state_->execute(std::string(sql));
}

Result<Statement> Database::prepare(std::string_view sql) {
  std::unique_lock lock(state_->mutex);
  if (auto it = state_->idle.find(sql); it != state_->idle.end()) {
    sqlite3_stmt* handle = it->second;
    state_->idle.erase(it);
    return Statement(state_.get(), handle, std::move(lock));
  }
  sqlite3_stmt* handle = nullptr;
  int code = sqlite3_prepare_v3(state_->handle, sql.data(), static_cast<int>(sql.size()),
                                SQLITE_PREPARE_PERSISTENT, &handle, nullptr);
  if (code != SQLITE_OK) return state_->error(code, sql.substr(0, 80));
  return Statement(state_.get(), handle, std::move(lock));
}

Result<Transaction> Database::begin() {
  std::unique_lock lock(state_->mutex);
  int depth = state_->depth;
  CHECK(state_->execute(depth == 0 ? std::string("BEGIN IMMEDIATE") : fmt::format("SAVEPOINT s{}", depth)));
  ++state_->depth;
  return Transaction(state_.get(), std::move(lock), depth);
}

int64_t Database::last_insert_id() const {
  return sqlite3_last_insert_rowid(state_->handle);
}
int64_t Database::changes() const {
  return sqlite3_changes64(state_->handle);
}
const std::string& Database::path() const {
  return state_->path;
}

void Database::release_memory() {
  std::unique_lock lock(state_->mutex);
  state_->drop_statements();
  sqlite3_db_release_memory(state_->handle);
}

Result<void> Database::checkpoint() {
  std::unique_lock lock(state_->mutex);
  int code = sqlite3_wal_checkpoint_v2(state_->handle, nullptr, SQLITE_CHECKPOINT_TRUNCATE, nullptr, nullptr);
  if (code != SQLITE_OK && code != SQLITE_BUSY) return state_->error(code, "checkpoint");
  return {};
}

Statement::Statement(Database::State* state, sqlite3_stmt* handle,
                     std::unique_lock<std::recursive_mutex> lock)
    : state_(state), handle_(handle), lock_(std::move(lock)) {}

Statement::Statement(Statement&& other) noexcept
    : state_(other.state_),
      handle_(std::exchange(other.handle_, nullptr)),
      lock_(std::move(other.lock_)),
      next_parameter_(other.next_parameter_),
      bind_error_(other.bind_error_) {}

Statement::~Statement() {
  if (handle_ == nullptr) return;
  sqlite3_reset(handle_);
  sqlite3_clear_bindings(handle_);
  const char* sql = sqlite3_sql(handle_);
  bool keep = sql != nullptr && state_->idle.size() < max_cached_statements;
  if (!keep || !state_->idle.emplace(sql, handle_).second) sqlite3_finalize(handle_);
}

namespace {
void note(int& first_error, int code) {
  if (first_error == SQLITE_OK) first_error = code;
}
}  // namespace

Statement& Statement::bind(std::string_view text) {
  // A null pointer would bind NULL instead of the empty string.
  const char* data = text.data() == nullptr ? "" : text.data();
  note(bind_error_,
       sqlite3_bind_text64(handle_, next_parameter_++, data, text.size(), SQLITE_TRANSIENT, SQLITE_UTF8));
  return *this;
}

Statement& Statement::bind_integer(int64_t value) {
  note(bind_error_, sqlite3_bind_int64(handle_, next_parameter_++, value));
  return *this;
}

Statement& Statement::bind_null() {
  note(bind_error_, sqlite3_bind_null(handle_, next_parameter_++));
  return *this;
}

Statement& Statement::bind_blob(std::string_view bytes) {
  const char* data = bytes.data() == nullptr ? "" : bytes.data();
  note(bind_error_, sqlite3_bind_blob64(handle_, next_parameter_++, data, bytes.size(), SQLITE_TRANSIENT));
  return *this;
}

Result<bool> Statement::step() {
  if (bind_error_ != SQLITE_OK) return state_->error(bind_error_, "bind");
  int code = sqlite3_step(handle_);
  if (code == SQLITE_ROW) return true;
  if (code == SQLITE_DONE) return false;
  return state_->error(code, std::string_view(sqlite3_sql(handle_)).substr(0, 80));
}

Result<void> Statement::run() {
  while (true) {
    TRY(bool row, step());
    if (!row) return {};
  }
}

std::string Statement::text(int column) const {
  const auto* bytes = reinterpret_cast<const char*>(sqlite3_column_text(handle_, column));
  if (bytes == nullptr) return {};
  return std::string(bytes, static_cast<size_t>(sqlite3_column_bytes(handle_, column)));
}

std::string Statement::blob(int column) const {
  const auto* bytes = static_cast<const char*>(sqlite3_column_blob(handle_, column));
  if (bytes == nullptr) return {};
  return std::string(bytes, static_cast<size_t>(sqlite3_column_bytes(handle_, column)));
}

int64_t Statement::integer(int column) const {
  return sqlite3_column_int64(handle_, column);
}
bool Statement::is_null(int column) const {
  return sqlite3_column_type(handle_, column) == SQLITE_NULL;
}

std::optional<std::string> Statement::optional_text(int column) const {
  if (is_null(column)) return std::nullopt;
  return text(column);
}

Result<Digest> Statement::digest(int column) const {
  auto parsed = Digest::parse(text(column));
  if (!parsed) return failure(Kind::Corrupt, "database {}: {}", state_->path, parsed.error().message());
  return parsed;
}

Result<std::optional<Digest>> Statement::optional_digest(int column) const {
  if (is_null(column)) return std::optional<Digest>();
  TRY(Digest parsed, digest(column));
  return std::optional<Digest>(std::move(parsed));
}

Transaction::Transaction(Database::State* state, std::unique_lock<std::recursive_mutex> lock, int depth)
    : state_(state), lock_(std::move(lock)), depth_(depth) {}

Transaction::Transaction(Transaction&& other) noexcept
    : state_(std::exchange(other.state_, nullptr)), lock_(std::move(other.lock_)), depth_(other.depth_) {}

Transaction::~Transaction() {
  if (state_ == nullptr) return;
  --state_->depth;
  // A full disk or a deadlock has rolled the whole transaction back already; then there is none to end.
  if (sqlite3_get_autocommit(state_->handle) != 0) return;
  std::string sql = depth_ == 0 ? "ROLLBACK" : fmt::format("ROLLBACK TO s{0}; RELEASE s{0}", depth_);
  (void)state_->execute(sql);
}

Result<void> Transaction::commit() {
  CHECK(state_->execute(depth_ == 0 ? std::string("COMMIT") : fmt::format("RELEASE s{}", depth_)));
  --state_->depth;
  state_ = nullptr;
  lock_.unlock();
  return {};
}

}  // namespace berth::storage
