// Reading logs back.
#include "engine/log_cursor.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace berth::engine {
namespace {

constexpr size_t read_size = size_t{512} << 10;
constexpr size_t longest_line = size_t{16} << 10;  // docker's limit for one log message
constexpr int most_rotated_files = 1000;

size_t stream_index(launch::LogStream stream) {
  return stream == launch::LogStream::Stderr ? 1 : 0;
}

/// Offset of the next thing that looks like a record: after a record torn by a crash a new keeper goes on
/// writing behind it.
size_t resynchronise(std::string_view bytes) {
  for (size_t i = 1; i + sizeof(launch::LogHeader) <= bytes.size(); ++i) {
    launch::LogHeader header;
    std::memcpy(&header, bytes.data() + i, sizeof header);
    bool plausible = header.magic == launch::kLogMagic && header.length <= launch::kLogMaxRecord &&
                     header.stream >= 1 && header.stream <= 2 && header.flags == 0;
    if (plausible) return i;
  }
  return bytes.size() < sizeof(launch::LogHeader) ? 0 : bytes.size() - sizeof(launch::LogHeader) + 1;
}

Result<size_t> read_at(int fd, uint64_t offset, char* to, size_t size) {
  while (true) {
    ssize_t n = ::pread(fd, to, size, static_cast<off_t>(offset));
    if (n >= 0) return static_cast<size_t>(n);
    if (errno != EINTR) return Error::from_errno("read container log", {}, errno);
  }
}

/// How many lines docker would make of a file: newlines, and whatever stands unfinished at the end.
class LineCounter {
 public:
  explicit LineCounter(const LogQuery& query) : query_(query) {}
  void take(const launch::LogRecord& record) {
    size_t index = stream_index(record.stream);
    if (index == 0 ? !query_.standard_output : !query_.standard_error) return;
    std::string_view rest = record.bytes;
    while (!rest.empty()) {
      const void* newline = std::memchr(rest.data(), '\n', rest.size());
      size_t length = newline == nullptr
                          ? rest.size()
                          : static_cast<size_t>(static_cast<const char*>(newline) - rest.data());
      open_[index] += length;
      lines_ += open_[index] / (longest_line + 1);
      open_[index] %= longest_line + 1;
      if (newline == nullptr) return;
      ++lines_;
      open_[index] = 0;
      rest.remove_prefix(length + 1);
    }
  }
  uint64_t lines() const { return lines_ + (open_[0] > 0 ? 1 : 0) + (open_[1] > 0 ? 1 : 0); }

 private:
  const LogQuery& query_;
  std::array<size_t, 2> open_{};
  uint64_t lines_ = 0;
};

/// In the first `size` bytes.
Result<uint64_t> count_lines(int fd, uint64_t size, const LogQuery& query) {
  LineCounter counter(query);
  std::string buffer;
  uint64_t offset = 0;
  while (true) {
    size_t have = buffer.size();
    size_t room = static_cast<size_t>(std::min<uint64_t>(read_size, size - offset));
    buffer.resize(have + room);
    TRY(size_t n, read_at(fd, offset, buffer.data() + have, room));
    buffer.resize(have + n);
    offset += n;
    if (n == 0) return counter.lines();
    size_t used = 0;
    while (true) {
      launch::LogReader reader(std::string_view(buffer).substr(used));
      while (auto record = reader.next()) counter.take(*record);
      used += reader.consumed();
      if (reader.end() != launch::LogReader::End::Corrupt) break;
      size_t skip = resynchronise(std::string_view(buffer).substr(used));
      if (skip == 0) break;
      used += skip;
    }
    buffer.erase(0, used);
  }
}

}  // namespace

Result<LogCursor> LogCursor::open(std::string path, const LogQuery& query) {
  LogCursor cursor(std::move(path), query);
  CHECK(cursor.open_files());
  if (query.tail) CHECK(cursor.seek_to_tail(*query.tail));
  return cursor;
}

/// Opens every file that exists, oldest first. The current one is opened first and rotations that happen
/// meanwhile show as the same inode twice, which is dropped.
Result<void> LogCursor::open_files() {
  std::deque<File> found;
  for (int i = 0; i <= most_rotated_files; ++i) {
    std::string name = i == 0 ? path_ : path_ + "." + std::to_string(i);
    auto fd = sys::open_file(name.c_str(), O_RDONLY);
    if (!fd) {
      if (fd.error().kind() != Kind::NotFound) return std::move(fd).error();
      if (i == 0) continue;  // between the two renames of a rotation
      break;
    }
    struct stat status {};
    if (::fstat(fd->get(), &status) != 0) return Error::from_errno("stat", name, errno);
    if (!found.empty() && found.front().inode == status.st_ino) continue;
    found.push_front(File{std::move(*fd), status.st_ino, static_cast<uint64_t>(status.st_size)});
  }
  files_ = std::move(found);
  offset_ = 0;
  return {};
}

/// Leaves the newest files that together hold `lines` lines, and how many of theirs to skip.
Result<void> LogCursor::seek_to_tail(uint64_t lines) {
  uint64_t have = 0;
  size_t keep = 0;
  while (keep < files_.size() && have < lines) {
    const File& file = files_[files_.size() - 1 - keep];
    TRY(uint64_t count, count_lines(file.fd.get(), file.size, query_));
    have += count;
    ++keep;
  }
  if (lines == 0) keep = files_.empty() ? 0 : 1;
  while (files_.size() > keep) files_.pop_front();
  if (lines == 0 && !files_.empty()) {
    offset_ = files_.front().size;
    return {};
  }
  skip_lines_ = have > lines ? have - lines : 0;
  return {};
}

/// Reads more of the front file; false at its end.
Result<bool> LogCursor::fill() {
  buffer_.erase(0, begin_);
  begin_ = 0;
  size_t have = buffer_.size();
  const File& file = files_.front();
  size_t room = read_size;
  if (query_.extent == LogExtent::AsOfNow)
    room = static_cast<size_t>(std::min<uint64_t>(room, file.size - std::min(offset_, file.size)));
  buffer_.resize(have + room);
  auto count = read_at(file.fd.get(), offset_, buffer_.data() + have, room);
  buffer_.resize(have + (count ? *count : 0));
  if (!count) return std::move(count).error();
  offset_ += *count;
  return *count > 0;
}

/// Moves on to the file after the front one, if there is one by now; false: the front is the newest.
Result<bool> LogCursor::next_file() {
  if (files_.size() <= 1) {
    if (query_.extent == LogExtent::AsOfNow) return false;
    uint64_t current = files_.empty() ? 0 : files_.front().inode;
    struct stat status {};
    bool same = files_.empty() ? ::stat(path_.c_str(), &status) != 0
                               : ::stat(path_.c_str(), &status) != 0 || status.st_ino == current;
    if (same) return false;
    std::deque<File> before = std::move(files_);
    uint64_t offset = offset_;
    CHECK(open_files());
    while (!before.empty() && !files_.empty()) {
      bool known = files_.front().inode == current;
      bool listed = false;
      for (const File& file : files_) listed = listed || file.inode == current;
      if (!listed || known) break;
      files_.pop_front();  // older than what was read already
    }
    if (!files_.empty() && files_.front().inode == current) {
      // The last bytes may have been written between our read and the rotation: look once more.
      offset_ = offset;
      TRY(bool more, fill());
      if (more) return true;
      files_.pop_front();
      if (files_.empty()) return false;
    }
  } else {
    files_.pop_front();
  }
  offset_ = 0;
  buffer_.clear();
  begin_ = 0;
  return true;
}

bool LogCursor::wanted(launch::LogStream stream) const {
  return stream == launch::LogStream::Stderr ? query_.standard_error : query_.standard_output;
}

Result<LogCursor::State> LogCursor::read(std::string& out, size_t target) {
  size_t goal = out.size() + target;
  while (!finished_) {
    launch::LogReader reader(std::string_view(buffer_).substr(begin_));
    bool reached = false;
    while (auto record = reader.next()) {
      take(*record, out);
      if (finished_ || out.size() >= goal) {
        reached = true;
        break;
      }
    }
    begin_ += reader.consumed();
    if (reached) break;
    if (reader.end() == launch::LogReader::End::Corrupt) {
      size_t skip = resynchronise(std::string_view(buffer_).substr(begin_));
      begin_ += skip;
      if (skip > 0) continue;
    }
    if (!files_.empty()) {
      TRY(bool more, fill());
      if (more) continue;
    }
    TRY(bool moved, next_file());
    if (moved) continue;
    if (begin_ == buffer_.size()) {
      std::string().swap(buffer_);  // an idle follower holds no memory
      begin_ = 0;
    }
    return State::CaughtUp;
  }
  return finished_ ? State::Finished : State::More;
}

void LogCursor::take(const launch::LogRecord& record, std::string& out) {
  if (query_.until && static_cast<int64_t>(record.time) > to_unix_nanoseconds(*query_.until)) {
    finished_ = true;
    return;
  }
  if (!wanted(record.stream)) return;
  Partial& partial = partial_[stream_index(record.stream)];
  std::string_view rest = record.bytes;
  while (!rest.empty()) {
    size_t room = longest_line - partial.bytes.size();
    std::string_view window = rest.substr(0, room);
    const void* newline = std::memchr(window.data(), '\n', window.size());
    size_t length = newline == nullptr
                        ? window.size()
                        : static_cast<size_t>(static_cast<const char*>(newline) - window.data()) + 1;
    bool complete = newline != nullptr || length == room;
    if (partial.bytes.empty()) {
      partial.time = record.time;
      if (complete) {
        emit(record.stream, record.time, rest.substr(0, length), out);
      } else {
        partial.bytes.assign(rest);
      }
    } else {
      partial.bytes.append(rest.substr(0, length));
      if (complete) {
        emit(record.stream, partial.time, partial.bytes, out);
        partial.bytes.clear();
      }
    }
    rest.remove_prefix(complete ? length : rest.size());
  }
}

void LogCursor::emit(launch::LogStream stream, uint64_t time, std::string_view line, std::string& out) {
  if (skip_lines_ > 0) {
    --skip_lines_;
    return;
  }
  if (static_cast<int64_t>(time) < to_unix_nanoseconds(query_.since)) return;
  std::string stamp;
  if (query_.timestamps == LogTimestamps::Yes) {
    stamp = to_rfc3339_fixed(from_unix_nanoseconds(static_cast<int64_t>(time))) + " ";
  }
  stamp += query_.prefix;
  if (query_.framing == LogFraming::Multiplexed) {
    uint32_t length = static_cast<uint32_t>(stamp.size() + line.size());
    char header[8] = {static_cast<char>(stream),
                      0,
                      0,
                      0,
                      static_cast<char>(length >> 24),
                      static_cast<char>(length >> 16),
                      static_cast<char>(length >> 8),
                      static_cast<char>(length)};
    out.append(header, sizeof header);
  }
  out.append(stamp).append(line);
}

void LogCursor::flush(std::string& out) {
  for (launch::LogStream stream : {launch::LogStream::Stdout, launch::LogStream::Stderr}) {
    Partial& partial = partial_[stream_index(stream)];
    if (partial.bytes.empty()) continue;
    emit(stream, partial.time, partial.bytes, out);
    partial.bytes.clear();
  }
}

}  // namespace berth::engine
