// lines COUNT blocks|lines: writes COUNT numbered lines of 100 bytes each to standard output, either in
// blocks of 64 KiB or with one write per line. The numbers let a reader prove that none is missing or out of
// order.
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <string>

namespace {

constexpr size_t line_size = 100;  // with its newline
constexpr size_t block_size = 65536;

void write_all(const char* data, size_t size) {
  while (size > 0) {
    const ssize_t written = write(STDOUT_FILENO, data, size);
    if (written <= 0) {
      perror("lines: write");
      exit(1);
    }
    data += written;
    size -= static_cast<size_t>(written);
  }
}

void append_line(std::string& out, long number) {
  char head[24];
  const int length = snprintf(head, sizeof head, "%08ld ", number);
  const size_t start = out.size();
  out.append(head, static_cast<size_t>(length));
  out.append(line_size - 1 - (out.size() - start), 'x');
  out.push_back('\n');
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 3 || (strcmp(argv[2], "blocks") != 0 && strcmp(argv[2], "lines") != 0)) {
    fputs("usage: lines COUNT blocks|lines\n", stderr);
    return 2;
  }
  const long count = atol(argv[1]);
  const size_t flush_at = strcmp(argv[2], "blocks") == 0 ? block_size : 1;
  std::string buffer;
  for (long number = 0; number < count; ++number) {
    append_line(buffer, number);
    if (buffer.size() >= flush_at) {
      write_all(buffer.data(), buffer.size());
      buffer.clear();
    }
  }
  write_all(buffer.data(), buffer.size());
}
