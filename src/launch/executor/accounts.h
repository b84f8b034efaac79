// Users and groups of a container, from its own /etc/passwd and /etc/group: no libc, no plugins
// (CVE-2019-14271), constant memory whatever the files hold (CVE-2026-47262), and only ordinary files
// (CVE-2024-9676: a FIFO there must not hang anybody).
#pragma once

#include <array>
#include <cstdint>
#include <string_view>

#include "launch/executor/fixed_buffer.h"

namespace berth::launch {

/// Larger account files are refused.
constexpr uint64_t kMaxAccountFile = 16u << 20;
/// Highest uid or gid that may be named, as docker has it.
constexpr uint32_t kMaxId = 0x7fffffff;

/// Exact decimal digits only: "01" is 1, but "+1", " 1" and "" are no numbers. Values over 32 bits saturate
/// at UINT32_MAX, which is over kMaxId.
inline bool parse_id(std::string_view text, uint32_t& id) {
  uint64_t value = 0;
  for (char c : text) {
    if (c < '0' || c > '9') return false;
    value = value * 10 + static_cast<uint64_t>(c - '0');
    if (value > UINT32_MAX) value = UINT32_MAX;
  }
  id = static_cast<uint32_t>(value);
  return !text.empty();
}

/// Reads colon-separated records from a Source with `int get()` (a byte, or -1 at the end). Fields over 255
/// bytes read as empty and so match nothing.
template <class Source>
class AccountReader {
 public:
  explicit AccountReader(Source& source) : source_(source) {}

  /// The next line that is neither empty nor a comment: its first `count` fields. False at the end.
  bool next(int count) {
    do {
      skip_line();
      for (auto& field : fields_) field.clear();
      last_ = '\n';
      int byte = source_.get();
      if (byte < 0) return false;
      if (byte == '\n') continue;
      last_ = byte;
      if (byte == '#') continue;
      for (int i = 0; i < count && last_ >= 0 && last_ != '\n'; ++i)
        read_field(fields_[static_cast<size_t>(i)], i > 0);
      return true;
    } while (true);
  }

  std::string_view field(int index) const {
    const auto& value = fields_[static_cast<size_t>(index)];
    return value.overflowed() ? std::string_view() : value.view();
  }

  /// After next(): the comma-separated members in the field that follows. False after the last.
  bool next_member() {
    while (last_ >= 0 && last_ != '\n') {
      member_.clear();
      while ((last_ = source_.get()) >= 0 && last_ != '\n' && last_ != ',' && last_ != ':') {
        char byte = static_cast<char>(last_);
        member_.append(&byte, 1);
      }
      if (!member_.empty()) return true;
    }
    return false;
  }
  std::string_view member() const { return member_.overflowed() ? std::string_view() : member_.view(); }

 private:
  /// The first field's first byte is in last_ already.
  void read_field(FixedBuffer<255>& value, bool fresh) {
    if (fresh) last_ = source_.get();
    while (last_ >= 0 && last_ != '\n' && last_ != ':') {
      char byte = static_cast<char>(last_);
      value.append(&byte, 1);
      last_ = source_.get();
    }
  }
  void skip_line() {
    while (last_ >= 0 && last_ != '\n') last_ = source_.get();
  }

  Source& source_;
  int last_ = '\n';
  std::array<FixedBuffer<255>, 6> fields_;
  FixedBuffer<255> member_;
};

/// An ordinary file beneath a root, byte by byte.
class AccountFile {
 public:
  /// A missing file reads as empty. error() is -EFBIG for one that is too large or no ordinary file.
  AccountFile(int root, const char* path);
  ~AccountFile();
  AccountFile(const AccountFile&) = delete;
  AccountFile& operator=(const AccountFile&) = delete;
  int get() { return at_ < size_ ? static_cast<unsigned char>(buffer_[at_++]) : refill(); }
  long error() const { return error_; }

 private:
  int refill();
  int fd_ = -1;
  long error_ = 0;
  long at_ = 0;
  long size_ = 0;
  char buffer_[4096];
};

}  // namespace berth::launch
