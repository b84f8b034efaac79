// The single stages of a pull, each alone: what none of it can be faster than.
//
//   stages inflate FILE...      inflates gzip files by igzip, to nowhere
//   stages hash FILE...         SHA-256 of files, as libcrypto does it
//   stages write FOLDER TAR...  makes the directories and files of uncompressed ustar archives, and nothing
//   else
#include <fcntl.h>
#include <isa-l/igzip_lib.h>
#include <openssl/evp.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

namespace {

[[noreturn]] void fail(const std::string& what) {
  std::perror(what.c_str());
  std::exit(1);
}

struct Mapped {
  explicit Mapped(const char* path) {
    int fd = ::open(path, O_RDONLY | O_CLOEXEC);
    struct stat status {};
    if (fd < 0 || ::fstat(fd, &status) != 0) fail(path);
    size = static_cast<size_t>(status.st_size);
    data = static_cast<const char*>(::mmap(nullptr, size, PROT_READ, MAP_SHARED, fd, 0));
    if (data == MAP_FAILED) fail(path);
    ::close(fd);
  }
  ~Mapped() { ::munmap(const_cast<char*>(data), size); }
  const char* data = nullptr;
  size_t size = 0;
};

void inflate(const char* path) {
  static std::vector<unsigned char> in(size_t{256} << 10), out(size_t{256} << 10);
  int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path);
  inflate_state state;
  ::isal_inflate_init(&state);
  state.crc_flag = ISAL_GZIP;
  while (state.block_state != ISAL_BLOCK_FINISH) {
    ssize_t count = ::read(fd, in.data(), in.size());
    if (count <= 0) fail(std::string(path) + " ends early");
    state.next_in = in.data();
    state.avail_in = static_cast<uint32_t>(count);
    do {
      state.next_out = out.data();
      state.avail_out = static_cast<uint32_t>(out.size());
      if (::isal_inflate(&state) != ISAL_DECOMP_OK) fail(std::string(path) + " is no gzip file");
    } while (state.avail_out == 0 || (state.avail_in > 0 && state.block_state != ISAL_BLOCK_FINISH));
  }
  ::close(fd);
}

void hash(const char* path) {
  static std::vector<char> buffer(size_t{256} << 10);
  int fd = ::open(path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) fail(path);
  EVP_MD_CTX* context = ::EVP_MD_CTX_new();
  ::EVP_DigestInit_ex(context, ::EVP_sha256(), nullptr);
  ssize_t count = 0;
  while ((count = ::read(fd, buffer.data(), buffer.size())) > 0)
    ::EVP_DigestUpdate(context, buffer.data(), static_cast<size_t>(count));
  unsigned char digest[EVP_MAX_MD_SIZE];
  ::EVP_DigestFinal_ex(context, digest, nullptr);
  ::EVP_MD_CTX_free(context);
  ::close(fd);
}

uint64_t octal(const char* field, size_t length) {
  uint64_t value = 0;
  for (size_t i = 0; i < length && field[i] >= '0' && field[i] <= '7'; ++i)
    value = value * 8 + static_cast<uint64_t>(field[i] - '0');
  return value;
}

void write_tree(int root, const char* path) {
  Mapped archive(path);
  for (size_t at = 0; at + 512 <= archive.size && archive.data[at] != '\0';) {
    const char* header = archive.data + at;
    std::string name(header, ::strnlen(header, 100));
    size_t size = octal(header + 124, 11);
    at += 512;
    if (header[156] == '5') {
      if (::mkdirat(root, name.c_str(), 0755) != 0) fail(name);
      continue;
    }
    int fd = ::openat(root, name.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (fd < 0 || at + size > archive.size) fail(name);
    if (::write(fd, archive.data + at, size) != static_cast<ssize_t>(size)) fail(name);
    ::close(fd);
    at += (size + 511) / 512 * 512;
  }
}

}  // namespace

int main(int count, char** words) {
  std::string stage = count > 2 ? words[1] : "";
  int first = 2;
  int root = -1;
  if (stage == "write") {
    if (::mkdir(words[2], 0755) != 0) fail(words[2]);
    root = ::open(words[first++], O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (root < 0) fail(words[2]);
  } else if (stage != "inflate" && stage != "hash") {
    std::fputs("usage: stages inflate|hash FILE... | write FOLDER TAR...\n", stderr);
    return 2;
  }
  for (int i = first; i < count; ++i) {
    if (stage == "inflate") inflate(words[i]);
    if (stage == "hash") hash(words[i]);
    if (stage == "write") write_tree(root, words[i]);
  }
  return 0;
}
