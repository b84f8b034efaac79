// Reading exit records.
#include "launch/exit_record.h"

#include <fcntl.h>
#include <unistd.h>

#include <array>
#include <cerrno>

#include "launch/keeper_protocol.h"
#include "sys/fd.h"

namespace berth::launch {

Result<ExitRecord> parse_exit_record(std::string_view bytes) {
  Decoder decoder(bytes);
  ExitRecordLayout layout;
  layout.fields(decoder);
  if (!decoder.ok() || !decoder.at_end() || layout.magic != ExitRecordLayout::kMagic || layout.version != 1)
    return Error(Kind::Corrupt, "not an exit record");
  const auto& exited = layout.exited;
  return ExitRecord{.exit_code = exited.exit_code,
                    .signal = exited.signal,
                    .oom_killed = exited.oom_killed != 0,
                    .started = from_unix_nanoseconds(exited.started),
                    .finished = from_unix_nanoseconds(exited.finished)};
}

Result<ExitRecord> read_exit_record(const std::string& path) {
  TRY(auto file, sys::open_file(path.c_str(), O_RDONLY | O_NOFOLLOW));
  std::array<char, 256> bytes;
  ssize_t size = ::read(file.get(), bytes.data(), bytes.size());
  if (size < 0) return Error::from_errno("read", path, errno);
  return parse_exit_record({bytes.data(), static_cast<size_t>(size)});
}

}  // namespace berth::launch
