// Writing and rotating the container's log.
#include "apps/keeper/log_writer.h"

#include <fcntl.h>
#include <sys/mman.h>

#include <cerrno>

#include "launch/executor/file_status.h"
#include "launch/executor/fixed_buffer.h"
#include "sys/kernel_call.h"

namespace berth::keeper {

namespace call = sys::call;
using launch::LogHeader;

namespace {

/// How far a file may pass its bound while no line ends.
constexpr int64_t kLineSlack = 64 << 10;

void numbered(launch::PathBuffer& out, std::string_view path, uint32_t number) {
  out.assign(path);
  if (number == 0) return;
  out.append(".");
  out.append_number(number);
}

}  // namespace

long LogWriter::open(const char* path, int64_t max_size, uint32_t max_files, bool ended_badly) {
  path_ = path;
  max_size_ = max_size;
  max_files_ = max_files == 0 ? 1 : max_files;
  if (long error = open_file(false); error < 0) return error;
  if (ended_badly && size_ > 0) cut_torn_tail();
  return 0;
}

long LogWriter::open_file(bool fresh) {
  long fd = call::open(AT_FDCWD, path_,
                       O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOFOLLOW | (fresh ? O_EXCL : 0), 0640);
  if (fd < 0) return fd;
  fd_ = static_cast<int>(fd);
  open_ = true;
  launch::FileStatus status;
  size_ = launch::read_status(fd_, status) >= 0 ? static_cast<int64_t>(status.size) : 0;
  return 0;
}

void LogWriter::cut_torn_tail() {
  auto size = static_cast<size_t>(size_);
  void* memory = call::map(size, PROT_READ, MAP_SHARED, fd_);
  if (call::map_failed(memory)) return;
  launch::LogReader reader(std::string_view(static_cast<const char*>(memory), size));
  while (reader.next()) {
  }
  size_t whole = reader.consumed();
  call::unmap(memory, size);
  if (whole < size && call::truncate(fd_, static_cast<int64_t>(whole)) >= 0)
    size_ = static_cast<int64_t>(whole);
}

void LogWriter::rotate() {
  call::close(fd_);
  open_ = false;
  launch::PathBuffer from, to;
  for (uint32_t i = max_files_ - 1; i > 0; --i) {
    numbered(from, path_, i - 1);
    numbered(to, path_, i);
    if (!to.overflowed()) call::rename(from.c_str(), to.c_str());
  }
  if (max_files_ == 1) call::unlink(AT_FDCWD, path_);
  open_file(false);
}

void LogWriter::append(launch::LogStream stream, std::string_view bytes, int64_t time) {
  if (!open_) return;
  bool full = max_size_ > 0 && size_ + static_cast<int64_t>(sizeof(LogHeader) + bytes.size()) >= max_size_;
  if (!full) return write_record(stream, bytes, time);
  // The new file begins with a line.
  size_t newline = bytes.rfind('\n');
  if (newline == std::string_view::npos) {
    write_record(stream, bytes, time);
    if (size_ >= max_size_ + kLineSlack) rotate();
    return;
  }
  write_record(stream, bytes.substr(0, newline + 1), time);
  rotate();
  if (newline + 1 < bytes.size()) write_record(stream, bytes.substr(newline + 1), time);
}

void LogWriter::write_record(launch::LogStream stream, std::string_view bytes, int64_t time) {
  if (!open_) return;
  LogHeader header{.time = static_cast<uint64_t>(time),
                   .length = static_cast<uint32_t>(bytes.size()),
                   .stream = static_cast<uint8_t>(stream),
                   .flags = 0};
  call::Piece pieces[2] = {{&header, sizeof header}, {bytes.data(), bytes.size()}};
  auto whole = static_cast<long>(sizeof header + bytes.size());
  long written = call::write_pieces(fd_, pieces, 2);
  if (written == whole)
    size_ += whole;
  else if (written > 0)
    call::truncate(fd_, size_);
}

}  // namespace berth::keeper
