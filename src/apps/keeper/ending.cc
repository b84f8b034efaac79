// The end of a process: it is reaped, its last output read, and of the container's own a record written.
#include <fcntl.h>

#include <cerrno>

#include "apps/keeper/keeper.h"
#include "launch/keeper_protocol.h"
#include "sys/kernel_call.h"

namespace berth::keeper {

namespace call = sys::call;
namespace notice = launch::notice;

void Keeper::on_exit(Target& target) {
  // A program that is quick may have ended before we saw it start.
  if (target.sync >= 0) on_sync(target);
  if (restores_ && is_init(target) && target.phase == Phase::Ready) return on_early_exit(target);
  if (target.phase != Phase::Running || !reap(target, Wait::No)) return;
  target.finished = wall_clock();
  drain(target);
  close_streams(target);
  target.phase = Phase::Exited;
  if (is_init(target))
    finish_init(target);
  else
    finish_exec(target);
}

bool Keeper::reap(Target& target, Wait wait) {
  struct {  // siginfo_t
    int32_t number, error, code, padding;
    int32_t pid, uid, status;
    char rest[100];
  } info{};
  constexpr int kByPidfd = 3, kExited = 4, kNoHang = 1, kCodeExited = 1;
  long result;
  do result = call::wait(kByPidfd, target.pidfd, &info, kExited | (wait == Wait::No ? kNoHang : 0));
  while (result == -EINTR);
  if (result < 0 || info.pid == 0) return false;
  close_watched(target.pidfd);
  target.signal = info.code == kCodeExited ? 0 : info.status;
  target.exit_code = info.code == kCodeExited ? info.status : 128 + info.status;
  return true;
}

void Keeper::finish_init(Target& target) {
  notice::Exited exited{.exit_code = target.exit_code,
                        .signal = target.signal,
                        .oom_killed = oom_count() > oom_before_,
                        .started = target.started,
                        .finished = target.finished};
  write_exit_record(exited);
  tell(exited);
  end_clients_of(target, launch::AttachEnd::OutputEnded);
  over_ = true;
  if (mounts_ > 0) call::close(mounts_);
}

void Keeper::finish_exec(Target& target) {
  bool told = anybody_listens();
  tell(notice::ExecExited{target.token.text(), target.exit_code, target.finished});
  end_clients_of(target, launch::AttachEnd::OutputEnded);
  // Without a daemon it waits for the next one.
  if (told) targets_.give_back(&target);
}

uint64_t Keeper::oom_count() {
  if (kept_->oom_path.empty()) return 0;
  long fd = call::open(AT_FDCWD, kept_->oom_path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return 0;
  char text[512];
  long size = call::read(static_cast<int>(fd), text, sizeof text);
  call::close(static_cast<int>(fd));
  if (size <= 0) return 0;
  constexpr std::string_view kKey = "oom_kill ";
  std::string_view rest(text, static_cast<size_t>(size));
  size_t at = rest.find(kKey);
  if (at == std::string_view::npos) return 0;
  uint64_t count = 0;
  for (char c : rest.substr(at + kKey.size())) {
    if (c < '0' || c > '9') break;
    count = count * 10 + static_cast<uint64_t>(c - '0');
  }
  return count;
}

/// Whole or not at all: another name first.
void Keeper::write_exit_record(const notice::Exited& exited) {
  launch::PathBuffer temporary(kept_->exit_path.view());
  temporary.append(".new");
  if (kept_->exit_path.empty() || temporary.overflowed()) return;
  launch::FixedBuffer<127> bytes;
  launch::Encoder encoder(bytes);
  launch::ExitRecordLayout layout{.exited = exited};
  layout.fields(encoder);
  long fd =
      call::open(AT_FDCWD, temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return;
  long written = call::write(static_cast<int>(fd), bytes.c_str(), bytes.size());
  call::close(static_cast<int>(fd));
  if (written == static_cast<long>(bytes.size())) call::rename(temporary.c_str(), kept_->exit_path.c_str());
}

}  // namespace berth::keeper
