// The words of launch failures.
#include "launch/failure_text.h"

#include <cerrno>
#include <cstring>
#include <string>

#include "base/format.h"
#include "launch/step_report.h"
#include "launch/steps.h"

namespace berth::launch {
namespace {

constexpr int kNotFound = 127, kNotExecutable = 126, kNotLaunched = 125;

/// As Go words it: in lower case.
std::string errno_words(int error) {
  if (error == ENOEXEC) return "exec format error";
  char buffer[128];
  std::string words = ::strerror_r(error, buffer, sizeof buffer);
  if (words.size() > 1 && words[1] >= 'a' && words[1] <= 'z') words[0] = static_cast<char>(words[0] | 0x20);
  return words;
}

std::string general_words(const std::string& step, const notice::Failed& failed) {
  std::string subject(failed.subject.view());
  if (failed.step == notice::kKeeperStep && failed.error == ECHILD) {
    return failed.signal != 0
               ? fmt::format("the process was killed by signal {} before it could start", failed.signal)
               : "the process ended before it could start";
  }
  return fmt::format("{}{}{}: {}", step, subject.empty() ? "" : " ", subject, errno_words(failed.error));
}

int code_of(Reason reason, int error) {
  bool program = reason == Reason::ProgramNotInPath || reason == Reason::ProgramUnusable;
  bool directory = reason == Reason::DirectoryUnusable || reason == Reason::DirectoryOutside;
  if (!program && !directory) return kNotLaunched;
  return error == ENOENT ? kNotFound : kNotExecutable;
}

std::string words_of(Reason reason, const std::string& step, const notice::Failed& failed) {
  std::string_view subject = failed.subject.view();
  switch (reason) {
    case Reason::ProgramNotInPath:
      return fmt::format("exec: \"{}\": executable file not found in $PATH", subject);
    case Reason::ProgramUnusable:
      // From these words docker commands of before 23 take the status 126, later ones from those before them.
      if (failed.error == EISDIR)
        return fmt::format("exec: \"{}\": is a directory: permission denied", subject);
      return fmt::format("exec: \"{}\": {}", subject, errno_words(failed.error));
    case Reason::NoSuchUser:
      return fmt::format("unable to find user {}: no matching entries in passwd file", subject);
    case Reason::NoSuchGroup:
      return fmt::format("unable to find group {}: no matching entries in group file", subject);
    case Reason::IdOutOfRange:
      return fmt::format("uids and gids must be in range 0-2147483647: {}", subject);
    case Reason::TooManyGroups:
      return "the user has too many groups";
    case Reason::AccountFileTooLarge:
      return fmt::format("{} is larger than 16 MiB, or not an ordinary file", subject);
    case Reason::DirectoryOutside:
      return fmt::format("working directory \"{}\" is outside of the container", subject);
    case Reason::DirectoryUnusable:
      return fmt::format("chdir to cwd (\"{}\") set in config.json failed: {}", subject,
                         errno_words(failed.error));
    case Reason::TargetInProc:
      return fmt::format("\"{}\" cannot be mounted because it is inside /proc", subject);
    case Reason::TargetIsLink:
      return fmt::format(
          "mount destination \"{}\" must be mounted on ordinary directory, not on a symbolic link", subject);
    case Reason::NotADevice:
      return fmt::format("{} is not the null device", subject);
    case Reason::BadPlan:
      return "the launch plan is damaged";
    case Reason::Failpoint:
      return fmt::format("{}: failpoint", step);
    case Reason::FilesystemMessage:
    case Reason::None:
      break;
  }
  return general_words(step, failed);
}

}  // namespace

LaunchFailure describe_failure(const notice::Failed& failed) {
  LaunchFailure failure;
  failure.step = failed.step < std::size(kStepNames) ? kStepNames[failed.step] : "keeper";
  failure.subject = std::string(failed.subject.view());
  failure.errno_value = failed.error;
  auto reason = static_cast<Reason>(failed.reason);
  failure.exit_code = code_of(reason, failed.error);
  failure.message = words_of(reason, failure.step, failed);
  return failure;
}

}  // namespace berth::launch
