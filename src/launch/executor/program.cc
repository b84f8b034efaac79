// The last steps: find the program, wait for the word to start, exec.
#include "launch/executor/program.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <linux/prctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>

#include "launch/executor/executor.h"
#include "launch/executor/file_status.h"
#include "sys/kernel_call.h"

namespace berth::launch {

namespace call = sys::call;

namespace {

long check_program(const char* path) {
  FileStatus status;
  long error = read_status(AT_FDCWD, status, path);
  if (error < 0) return error;
  if (S_ISDIR(status.mode)) return -EISDIR;
  if ((status.mode & 0111) == 0) return -EACCES;
  return call::check_access(AT_FDCWD, path, X_OK, AT_EACCESS);
}

constexpr char kInitName[] = "berth-init";
constexpr char kInitSeparator[] = "--";

}  // namespace

long find_program(std::string_view name, std::string_view search_path, PathBuffer& path) {
  path.clear();
  if (name.find('/') != std::string_view::npos) {
    path.append(name);
    if (path.overflowed()) return -ENAMETOOLONG;
    return check_program(path.c_str());
  }
  if (name.empty()) return -ENOENT;
  while (!search_path.empty()) {
    size_t size = search_path.find(':');
    std::string_view directory = search_path.substr(0, size);
    search_path.remove_prefix(size == std::string_view::npos ? search_path.size() : size + 1);
    if (!directory.starts_with('/')) continue;
    path.assign(directory);
    path.append("/");
    path.append(name);
    if (!path.overflowed() && check_program(path.c_str()) >= 0) return 0;
  }
  path.clear();
  return -ENOENT;
}

long Executor::perform(const step::FindProgram& step) {
  long error = find_program(step.name.view(), step.search_path.view(), program_);
  if (error >= 0) return 0;
  bool searched = step.name.view().find('/') == std::string_view::npos;
  return blame(searched ? Reason::ProgramNotInPath : Reason::ProgramUnusable, error, step.name.view());
}

long Executor::perform(const step::AwaitHooks&) {
  if (long error = say(ProcessSays::Hooks); error < 0) return error;
  return await_word();
}

long Executor::perform(const step::AwaitRelease&) {
  if (descriptors_.start_listener < 0) {
    if (long error = say(ProcessSays::Ready); error < 0) return error;
    return await_word();
  }
  // From here on nobody need be there until somebody starts us.
  call::process_control(PR_SET_PDEATHSIG, 0);
  if (long error = say(ProcessSays::Ready); error < 0) return error;
  call::close(descriptors_.keeper);
  long starter = -EINTR;
  while (starter == -EINTR)
    starter = call::raw(__NR_accept4, descriptors_.start_listener, 0, 0, SOCK_CLOEXEC);
  if (starter < 0) return starter;
  call::close(descriptors_.start_listener);
  descriptors_.keeper = static_cast<int>(starter);
  return 0;
}

long Executor::say_executing() {
  if (said_executing_) return 0;
  said_executing_ = true;
  // Refused when the keeper has died meanwhile; then nobody would be our parent.
  return say(ProcessSays::Executing);
}

long Executor::perform(const step::Execute& step) {
  if (long error = say_executing(); error < 0) return error;
  long error = start_program(step);
  return blame(Reason::ProgramUnusable, error,
               step.arguments.empty() ? "" : (*step.arguments.begin()).view());
}

long Executor::start_program(const step::Execute& step) {
  // Two pointers more for berth's init, one for HOME, two for the ends.
  size_t count = size_t{step.arguments.count()} + step.environment.count() + 5;
  void* memory = call::map(count * sizeof(char*), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS);
  if (call::map_failed(memory)) return -ENOMEM;
  auto** arguments = static_cast<const char**>(memory);
  size_t at = 0;
  if (step.through_init != 0) {
    arguments[at++] = kInitName;
    arguments[at++] = kInitSeparator;
  }
  for (Text argument : step.arguments) arguments[at++] = argument.c_str();
  arguments[at++] = nullptr;

  const char** environment = arguments + at;
  size_t variables = 0;
  bool has_home = false;
  for (Text variable : step.environment) {
    if (variable.view() == "HOME=") continue;
    has_home |= variable.view().starts_with("HOME=");
    environment[variables++] = variable.c_str();
  }
  FixedBuffer<1023 + 5> home("HOME=");
  home.append(home_.empty() || home_.overflowed() ? "/" : home_.view());
  if (!has_home) environment[variables++] = home.c_str();
  environment[variables] = nullptr;

  constexpr uint64_t kNoSignals = 0;
  constexpr int kSetMask = 2;
  call::signal_mask(kSetMask, &kNoSignals, nullptr);
  if (descriptors_.outlives_creator) call::process_control(PR_SET_PDEATHSIG, 0);
  if (keeps_sys_admin_) {
    long error = set_capabilities(credentials_.effective, credentials_.permitted, credentials_.inheritable);
    if (error < 0) return error;
  }
  if (step.through_init != 0)
    return call::execute(descriptors_.self_program, "", arguments, environment, AT_EMPTY_PATH);
  return call::execute(AT_FDCWD, program_.c_str(), arguments, environment, 0);
}

}  // namespace berth::launch
