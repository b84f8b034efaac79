// floor ROOT SCRATCH CGROUP PROGRAM [stay|end]: what the kernel alone takes to run PROGRAM in a container. It
// clones into new mount, pid, net, uts, ipc and cgroup namespaces, attaches to a cgroup in every hierarchy of
// the host, mounts an overlay above ROOT, pivots into it, executes PROGRAM, waits for it and removes what it
// made. With `stay` it returns as soon as PROGRAM is executed and leaves all as it is; `end` ends that. No
// image, no state, no log, no capability or seccomp work: an engine can approach this and not beat it.
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <string>
#include <vector>

namespace {

[[noreturn]] void die(const std::string& what) {
  fprintf(stderr, "floor: %s: %s\n", what.c_str(), strerror(errno));
  _exit(125);
}

void require(bool ok, const std::string& what) {
  if (!ok) die(what);
}

// The directories of the group `name`, one for each cgroup hierarchy mounted on this host.
std::vector<std::string> group_directories(const std::string& name) {
  std::vector<std::string> directories;
  for (const char* hierarchy :
       {"cpu", "cpuacct", "cpuset", "memory", "devices", "freezer", "blkio", "pids", "systemd"}) {
    const std::string root = std::string("/sys/fs/cgroup/") + hierarchy;
    if (access((root + "/cgroup.procs").c_str(), F_OK) == 0) directories.push_back(root + "/" + name);
  }
  if (access("/sys/fs/cgroup/cgroup.procs", F_OK) == 0) directories.push_back("/sys/fs/cgroup/" + name);
  return directories;
}

void write_file(const std::string& path, const std::string& text) {
  const int fd = open(path.c_str(), O_WRONLY | O_CLOEXEC);
  require(fd >= 0, path);
  require(write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()), path);
  close(fd);
}

// A new cpuset group of cgroup v1 admits no task before it has been given its CPUs and memory nodes.
void copy_from_parent(const std::string& directory, const char* file) {
  char text[256];
  const int fd = open((directory + "/../" + file).c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return;
  const ssize_t size = read(fd, text, sizeof text);
  close(fd);
  if (size > 0) write_file(directory + "/" + file, std::string(text, static_cast<size_t>(size)));
}

// Joins the calling thread, the only one of its process, to a group. Writing 0 to cgroup v1's `tasks` spares
// the lock over all thread groups that `cgroup.procs` takes, and with it an RCU grace period of several
// milliseconds (kernel/cgroup/cgroup.c, cgroup_procs_write_start).
void join_group(const std::string& directory) {
  const std::string tasks = directory + "/tasks";
  write_file(access(tasks.c_str(), F_OK) == 0 ? tasks : directory + "/cgroup.procs", "0");
}

void make_group(const std::string& directory) {
  require(mkdir(directory.c_str(), 0755) == 0, directory);
  if (directory.find("/cpuset/") != std::string::npos) {
    copy_from_parent(directory, "cpuset.cpus");
    copy_from_parent(directory, "cpuset.mems");
  }
}

void enter_root(const std::string& lower, const std::string& scratch) {
  require(mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0, "make / private");
  const std::string merged = scratch + "/merged";
  const std::string options =
      "lowerdir=" + lower + ",upperdir=" + scratch + "/upper,workdir=" + scratch + "/work";
  require(mount("overlay", merged.c_str(), "overlay", 0, options.c_str()) == 0, "mount overlay");
  require(chdir(merged.c_str()) == 0, merged);
  require(syscall(SYS_pivot_root, ".", ".") == 0, "pivot_root");
  require(umount2(".", MNT_DETACH) == 0, "detach the old root");
  require(chdir("/") == 0, "/");
}

struct Container {
  std::string lower, scratch;
  std::vector<std::string> groups;
  char* program;
};

void make_places(const Container& container) {
  for (const char* part : {"", "/upper", "/work", "/merged"}) {
    require(mkdir((container.scratch + part).c_str(), 0755) == 0, container.scratch + part);
  }
  for (const auto& group : container.groups) make_group(group);
}

void remove_places(const Container& container) {
  for (const auto& group : container.groups) {
    // A process that has been reaped by somebody else may be counted for a moment.
    for (int left = 2000; rmdir(group.c_str()) != 0; --left) {
      require(errno == EBUSY && left > 0, group);
      usleep(1000);
    }
  }
  for (const char* part : {"/merged", "/work/work", "/work", "/upper", ""}) {
    rmdir((container.scratch + part).c_str());
  }
}

pid_t spawn(const Container& container) {
  clone_args arguments = {};
  arguments.flags = CLONE_NEWNS | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWCGROUP;
  arguments.exit_signal = SIGCHLD;
  const pid_t child = static_cast<pid_t>(syscall(SYS_clone3, &arguments, sizeof arguments));
  require(child >= 0, "clone3");
  if (child == 0) {
    for (const auto& group : container.groups) join_group(group);
    enter_root(container.lower, container.scratch);
    char* const command[] = {container.program, nullptr};
    execv(container.program, command);
    die(container.program);
  }
  return child;
}

int run(const Container& container) {
  make_places(container);
  const pid_t child = spawn(container);
  int status = 0;
  require(waitpid(child, &status, 0) == child, "wait");
  remove_places(container);
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int start_and_leave(const Container& container) {
  int executed[2];
  require(pipe2(executed, O_CLOEXEC) == 0, "pipe");
  make_places(container);
  const pid_t child = spawn(container);
  close(executed[1]);
  char byte;
  require(read(executed[0], &byte, 1) == 0, "wait for the execution");
  siginfo_t ended = {};
  require(waitid(P_PID, static_cast<id_t>(child), &ended, WEXITED | WNOHANG) == 0, "wait");
  return ended.si_pid == 0 ? 0 : 125;
}

int end(const Container& container) {
  FILE* file = fopen((container.groups.front() + "/cgroup.procs").c_str(), "r");
  require(file != nullptr, container.groups.front());
  int pid;
  while (fscanf(file, "%d", &pid) == 1) kill(pid, SIGKILL);
  fclose(file);
  remove_places(container);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  const std::string what = argc == 6 ? argv[5] : "";
  if (argc < 5 || argc > 6 || (argc == 6 && what != "stay" && what != "end")) {
    fputs("usage: floor ROOT SCRATCH CGROUP PROGRAM [stay|end]\n", stderr);
    return 2;
  }
  const Container container{argv[1], argv[2], group_directories(argv[3]), argv[4]};
  if (what == "stay") return start_and_leave(container);
  return what == "end" ? end(container) : run(container);
}
