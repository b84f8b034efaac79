// Base images from what the host has: busybox-static, and mmdebstrap with the distribution's signed packages.
#include "storage/bootstrap.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <thread>

#include "base/format.h"
#include "base/rollback.h"
#include "storage/archive.h"
#include "storage/bootstrap_packages.h"
#include "sys/file.h"
#include "sys/host_program.h"
#include "sys/root_dir.h"

namespace berth::storage {
namespace {

constexpr std::string_view search_path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
constexpr const char* busybox_program = "/bin/busybox";
constexpr std::string_view suites[] = {"bookworm", "bullseye",  "trixie",  "forky",   "sid",
                                       "stable",   "oldstable", "testing", "unstable"};

void tell(const BootstrapOptions& options, std::string_view line) {
  if (options.progress) options.progress(line);
}

// busybox

Result<std::vector<std::string>> busybox_applets() {
  TRY(auto program, sys::HostProgram::start({busybox_program, "--list"}, {std::string(search_path)}));
  FdSource output(program.standard_output());
  TRY(std::string text, read_all(output, size_t{1} << 20));
  TRY(int status, program.wait());
  if (status != 0) return failure(Kind::Internal, "{} --list ended with status {}", busybox_program, status);
  std::vector<std::string> names;
  size_t start = 0;
  while (start < text.size()) {
    size_t end = std::min(text.find('\n', start), text.size());
    std::string name = text.substr(start, end - start);
    bool plain = !name.empty() && name != "busybox" && name.find('/') == std::string::npos && name[0] != '.';
    if (plain) names.push_back(std::move(name));
    start = end + 1;
  }
  return names;
}

Result<void> require_busybox() {
  struct stat status {};
  if (::stat(busybox_program, &status) != 0) {
    return failure(Kind::NotFound, "{} is missing: install it with \"apt-get install busybox-static\"",
                   busybox_program);
  }
  // The dynamic linker's path in the program's head tells the package "busybox", which needs libc.
  TRY(std::string bytes, sys::read_file(busybox_program, size_t{16} << 20));
  if (bytes.substr(0, 4096).find("ld-linux") != std::string::npos) {
    return failure(Kind::Unsupported, "{} is not static: install \"busybox-static\" in its place",
                   busybox_program);
  }
  return {};
}

struct SmallFile {
  const char* path;
  const char* content;
  mode_t mode;
};
constexpr SmallFile busybox_files[] = {
    {"etc/passwd",
     "root:x:0:0:root:/root:/bin/sh\ndaemon:x:1:1:daemon:/usr/sbin:/bin/false\nbin:x:2:2:bin:/bin:/bin/"
     "false\n"
     "sys:x:3:3:sys:/dev:/bin/false\nwww-data:x:33:33:www-data:/var/www:/bin/false\n"
     "nobody:x:65534:65534:nobody:/home:/bin/false\n",
     0644},
    {"etc/group",
     "root:x:0:\ndaemon:x:1:\nbin:x:2:\nsys:x:3:\nadm:x:4:\ntty:x:5:\ndisk:x:6:\nwheel:x:10:root\nusers:x:"
     "100:\n"
     "www-data:x:33:\nnogroup:x:65534:\n",
     0644},
    {"etc/shadow", "root:*:19000:0:99999:7:::\nnobody:*:19000:0:99999:7:::\n", 0640},
    {"etc/nsswitch.conf", "hosts: files dns\n", 0644},
};

Result<void> make_busybox_tree(const std::string& root, const std::vector<std::string>& applets) {
  for (const char* directory :
       {"bin", "dev", "etc", "home", "proc", "sys", "usr/bin", "usr/sbin", "var/spool/mail", "var/www"}) {
    CHECK(sys::make_dirs(root + "/" + directory));
  }
  CHECK(sys::make_dirs(root + "/root", 0700));
  CHECK(sys::make_dirs(root + "/tmp"));
  if (::chmod((root + "/tmp").c_str(), 01777) != 0) return Error::from_errno("chmod", "tmp", errno);
  for (const SmallFile& file : busybox_files) {
    CHECK(sys::write_file_atomic(root + "/" + file.path, file.content, file.mode));
  }
  TRY(std::string program, sys::read_file(busybox_program, size_t{16} << 20));
  CHECK(sys::write_file_atomic(root + "/bin/busybox", program, 0755));
  std::string target = root + "/bin/busybox";
  for (const std::string& applet : applets) {
    std::string name = root + "/bin/" + applet;
    if (::link(target.c_str(), name.c_str()) != 0 && errno != EEXIST)
      return Error::from_errno("link", name, errno);
  }
  if (::symlink("/bin/env", (root + "/usr/bin/env").c_str()) != 0)
    return Error::from_errno("link", "usr/bin/env", errno);
  return {};
}

Result<BootstrapResult> import_tree(ImageStore& images, const std::string& root, ImportOptions import,
                                    Timestamp clamp) {
  TRY(sys::RootDir tree, sys::RootDir::open(root));
  StringSink archive;
  PackOptions pack;
  pack.clamp_mtime = clamp;
  pack.owner = FixedOwner{};
  pack.stop = import.stop;
  CHECK(pack_tree(tree, archive, pack));
  StringSource source(archive.text);
  TRY(Digest id, images.import(source, import));
  return BootstrapResult{id, import.reference->familiar_string()};
}

Result<BootstrapResult> bootstrap_busybox(ImageStore& images, const BootstrapOptions& options) {
  CHECK(require_busybox());
  tell(options, "Making busybox:latest of /bin/busybox");
  TRY(auto applets, busybox_applets());
  std::string root = options.scratch_dir + "/root";
  CHECK(make_busybox_tree(root, applets));
  struct stat status {};
  if (::stat(busybox_program, &status) != 0) return Error::from_errno("stat", busybox_program, errno);
  // Times from the program, so that the same busybox gives the same image.
  Timestamp created = from_unix_nanoseconds(int64_t{status.st_mtim.tv_sec} * 1'000'000'000);
  ImportOptions import;
  TRY(spec::Reference reference, spec::Reference::parse("busybox:latest"));
  import.reference = reference;
  import.config.env = {std::string(search_path)};
  import.config.cmd = {"sh"};
  import.message = "berth bootstrap busybox";
  import.created = created;
  import.stop = options.stop;
  return import_tree(images, root, std::move(import), created);
}

// debian

/// Passes the program's messages on, line by line, and keeps the last ones for an error.
class MessageReader {
 public:
  MessageReader(int fd, const BootstrapOptions& options)
      : thread_([this, fd, &options] { read(fd, options); }) {}
  ~MessageReader() { join(); }
  void join() {
    if (thread_.joinable()) thread_.join();
  }
  /// After join(): the first line that names an error, else the last line.
  const std::string& cause() const { return error_.empty() ? last_ : error_; }

 private:
  void read(int fd, const BootstrapOptions& options) {
    std::string pending;
    char buffer[4096];
    ssize_t n = 0;
    while ((n = ::read(fd, buffer, sizeof buffer)) > 0 || (n < 0 && errno == EINTR)) {
      if (n < 0) continue;
      pending.append(buffer, static_cast<size_t>(n));
      size_t end = 0;
      while ((end = pending.find_first_of("\r\n")) != std::string::npos) {
        take(pending.substr(0, end), options);
        pending.erase(0, end + 1);
      }
      if (pending.size() > size_t{64} << 10) pending.clear();
    }
    take(pending, options);
  }
  void take(std::string line, const BootstrapOptions& options) {
    if (line.empty()) return;
    // The first one says what went wrong, the later ones what came of it.
    if (line.starts_with("E: ") && error_.empty()) error_ = line.substr(3);
    last_ = line;
    bool worth_telling = line.starts_with("I: ") || line.starts_with("W: ") || line.starts_with("E: ");
    if (worth_telling) tell(options, line.substr(3));
  }
  std::string error_;
  std::string last_;
  std::thread thread_;
};

/// A source that ends the program when stopping is asked for.
class ProgramSource : public ByteSource {
 public:
  ProgramSource(const sys::HostProgram& program, std::stop_token stop)
      : program_(program), stop_(std::move(stop)) {}
  Result<size_t> read(std::span<char> buffer) override {
    while (true) {
      if (stop_.stop_requested()) {
        program_.signal_group(SIGTERM);
        return Error(Kind::Cancelled, "bootstrap was cancelled");
      }
      pollfd poll{program_.standard_output(), POLLIN, 0};
      int ready = ::poll(&poll, 1, 200);
      if (ready < 0 && errno != EINTR) return Error::from_errno("poll", "mmdebstrap", errno);
      if (ready <= 0) continue;
      ssize_t n = ::read(program_.standard_output(), buffer.data(), buffer.size());
      if (n >= 0) return static_cast<size_t>(n);
      if (errno != EINTR) return Error::from_errno("read", "mmdebstrap", errno);
    }
  }

 private:
  const sys::HostProgram& program_;
  std::stop_token stop_;
};

/// `arguments` stand between mmdebstrap's own and the suite.
Result<sys::HostProgram> start_mmdebstrap(const std::string& suite, const std::vector<std::string>& arguments,
                                          const BootstrapOptions& options) {
  std::vector<std::string> environment = sys::host_environment();
  environment.push_back("HOME=/root");
  environment.push_back("TMPDIR=" + options.scratch_dir);
  environment.push_back("BERTH_TREE=" + options.scratch_dir + "/tree");
  std::vector<std::string> command = {"mmdebstrap", "--mode=root", "--format=tar"};
  command.insert(command.end(), arguments.begin(), arguments.end());
  command.insert(command.end(), {suite, "-"});
  auto program = sys::HostProgram::start(command, environment);
  if (!program && program.error().kind() == Kind::NotFound) {
    return Error(Kind::NotFound, "mmdebstrap is missing: install it with \"apt-get install mmdebstrap\"");
  }
  return program;
}

/// Runs mmdebstrap and imports what it writes; named only once it has ended well: a failure must not cost an
/// older image its name.
Result<BootstrapResult> import_packages(ImageStore& images, const std::string& name, const std::string& suite,
                                        const std::vector<std::string>& arguments,
                                        spec::ExecutionConfig config, const BootstrapOptions& options) {
  TRY(auto program, start_mmdebstrap(suite, arguments, options));
  MessageReader messages(program.standard_error(), options);
  ProgramSource source(program, options.stop);
  ImportOptions import;
  TRY(spec::Reference reference, spec::Reference::parse(name));
  import.config = std::move(config);
  import.message = "berth bootstrap " + name;
  import.stop = options.stop;
  auto id = images.import(source, import);
  program.close_output();
  if (!id) program.signal_group(SIGTERM);
  auto status = program.wait();
  messages.join();
  if (options.stop.stop_requested()) return Error(Kind::Cancelled, "bootstrap was cancelled");
  // A failed mmdebstrap explains a broken archive better than the archive does.
  if (status && *status != 0 && !messages.cause().empty()) {
    if (id) (void)images.remove(id->str(), {.force = true}, {});
    return failure(Kind::Unavailable,
                   "mmdebstrap could not make {}: {} (check the host's /etc/apt/sources.list and network)",
                   name, messages.cause());
  }
  if (!id) return std::move(id).error();
  CHECK(images.tag(*id, reference));
  return BootstrapResult{*id, reference.familiar_string()};
}

Result<BootstrapResult> bootstrap_debian(ImageStore& images, const std::string& suite,
                                         const BootstrapOptions& options) {
  tell(options, "Making debian:" + suite + " from the distribution's packages with mmdebstrap");
  spec::ExecutionConfig config;
  config.env = {std::string(search_path)};
  config.cmd = {"bash"};
  return import_packages(images, "debian:" + suite, suite, {"--variant=minbase"}, std::move(config), options);
}

// recipes

struct KnownRecipe {
  std::vector<std::string> names;
  BootstrapRecipe recipe;
};
std::vector<KnownRecipe>& recipes() {
  static std::vector<KnownRecipe> all;
  return all;
}

/// Lays a recipe's own files out, to be copied over what the packages have brought.
Result<void> make_recipe_tree(const PackageImage& image, const std::string& tree) {
  CHECK(sys::make_dirs(tree));
  for (const std::string& directory : image.directories) CHECK(sys::make_dirs(tree + "/" + directory));
  for (const PackageImage::File& file : image.files) {
    std::string path = tree + "/" + file.path;
    CHECK(sys::make_dirs(path.substr(0, path.rfind('/'))));
    CHECK(sys::write_file_atomic(path, file.content, file.mode));
  }
  for (const PackageImage::Link& link : image.links) {
    std::string path = tree + "/" + link.path;
    CHECK(sys::make_dirs(path.substr(0, path.rfind('/'))));
    if (::symlink(link.target.c_str(), path.c_str()) != 0) return Error::from_errno("link", path, errno);
  }
  std::string users;
  for (const std::string& user : image.users) users += user + "\n";
  return sys::write_file_atomic(tree + ".passwd", users);
}

Result<BootstrapResult> bootstrap_recipe(ImageStore& images, const PackageImage& image,
                                         const BootstrapOptions& options) {
  std::string packages;
  for (const std::string& package : image.packages) packages += (packages.empty() ? "" : ",") + package;
  tell(options, "Making " + image.name + " from the distribution's packages (" + packages + ")");
  CHECK(make_recipe_tree(image, options.scratch_dir + "/tree"));
  std::vector<std::string> arguments = {
      "--variant=essential",
      // Packages with alternatives (OpenJDK) link into it, and fail without.
      "--essential-hook=mkdir -p \"$1/usr/share/man/man1\"", "--dpkgopt=path-exclude=/usr/share/man/*",
      "--dpkgopt=path-exclude=/usr/share/doc/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright",
      "--dpkgopt=path-exclude=/usr/share/locale/*", "--dpkgopt=path-exclude=/usr/share/info/*",
      "--customize-hook=cp -a \"$BERTH_TREE/.\" \"$1/\"",
      "--customize-hook=cat \"$BERTH_TREE.passwd\" >> \"$1/etc/passwd\""};
  if (!packages.empty()) arguments.push_back("--include=" + packages);
  return import_packages(images, image.name, image.suite, arguments, image.config, options);
}

}  // namespace

void add_bootstrap_recipe(std::vector<std::string> names, BootstrapRecipe recipe) {
  recipes().push_back({std::move(names), std::move(recipe)});
}

std::vector<std::string> bootstrap_names() {
  std::vector<std::string> names = {"busybox"};
  for (std::string_view suite : suites) names.push_back("debian:" + std::string(suite));
  for (const KnownRecipe& known : recipes())
    names.insert(names.end(), known.names.begin(), known.names.end());
  return names;
}

Result<BootstrapResult> bootstrap(ImageStore& images, std::string_view name,
                                  const BootstrapOptions& options) {
  std::string wanted(name == "debian" ? "debian:bookworm" : name);
  if (wanted == "busybox:latest") wanted = "busybox";
  std::optional<PackageImage> recipe;
  for (const KnownRecipe& each : recipes()) {
    if (!recipe) recipe = each.recipe(wanted);
  }
  auto known = bootstrap_names();
  if (!recipe && std::find(known.begin(), known.end(), wanted) == known.end()) {
    std::string list;
    for (const std::string& each : known) list += (list.empty() ? "" : ", ") + each;
    return failure(Kind::InvalidArgument, "cannot bootstrap \"{}\": there are {}", name.substr(0, 100), list);
  }
  CHECK(sys::make_dirs(options.scratch_dir));
  Rollback undo;
  std::string scratch = options.scratch_dir;
  undo.add([scratch] { (void)sys::remove_tree(scratch); });
  if (recipe) return bootstrap_recipe(images, *recipe, options);
  if (wanted == "busybox") return bootstrap_busybox(images, options);
  return bootstrap_debian(images, wanted.substr(wanted.find(':') + 1), options);
}

}  // namespace berth::storage
