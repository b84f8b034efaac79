// Runs a libFuzzer target where there is no libFuzzer (g++): first every file of a corpus, then mutations of
// them for a while. When the target dies, the input that did it is in ./crash-<target>.
//   <target> [--seconds N] [--seed N] [CORPUS_FOLDER | FILE]...
// With clang the targets are linked with libFuzzer instead and this file is not used.
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr size_t max_input = 64 * 1024;

constexpr size_t max_told = 4096;
constexpr char hexadecimal[] = "0123456789abcdef";

std::string current;
std::string crash_path;
std::string died;  ///< what is said then, made before

void say(const std::string& text) {
  [[maybe_unused]] const ssize_t written = write(STDERR_FILENO, text.data(), text.size());
}

/// Only async-signal-safe calls: the target has just died. Small inputs are told whole, in hexadecimal: a log
/// may be all that is left of the machine.
void keep_input(int signal) {
  const int fd = open(crash_path.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (fd >= 0 && write(fd, current.data(), current.size()) < 0) _exit(1);
  say(died);
  if (current.size() <= max_told) {
    for (const unsigned char byte : current) {
      const char digits[2] = {hexadecimal[byte >> 4], hexadecimal[byte & 15]};
      if (write(STDERR_FILENO, digits, sizeof digits) < 0) break;
    }
    if (write(STDERR_FILENO, "\n", 1) < 0) _exit(1);
  }
  ::signal(signal, SIG_DFL);
  raise(signal);
}

void run(const std::string& input) {
  current = input;
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(input.data()), input.size());
}

std::vector<std::string> read_corpus(const std::vector<std::string>& places) {
  std::vector<std::string> corpus;
  auto add = [&](const std::filesystem::path& path) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  };
  for (const auto& place : places) {
    if (std::filesystem::is_directory(place)) {
      for (const auto& entry : std::filesystem::directory_iterator(place)) add(entry.path());
    } else if (std::filesystem::exists(place)) {
      add(place);
    }
  }
  if (corpus.empty()) corpus.emplace_back("");
  return corpus;
}

class Mutator {
 public:
  Mutator(const std::vector<std::string>& corpus, uint64_t seed) : corpus_(corpus), random_(seed) {}

  std::string next() {
    std::string input = corpus_[below(corpus_.size())];
    const size_t changes = 1 + below(8);
    for (size_t change = 0; change < changes; ++change) mutate(input);
    if (input.size() > max_input) input.resize(max_input);
    return input;
  }

 private:
  size_t below(size_t limit) { return limit == 0 ? 0 : random_() % limit; }

  void mutate(std::string& input) {
    static constexpr const char* interesting[] = {"\0",
                                                  "\xff",
                                                  "\n",
                                                  "\"",
                                                  "\\",
                                                  "${",
                                                  "{{",
                                                  "}}",
                                                  "../",
                                                  "/",
                                                  "0",
                                                  "-1",
                                                  "[",
                                                  "{",
                                                  "]",
                                                  "}",
                                                  "<<",
                                                  "\r\n",
                                                  "%00",
                                                  "=",
                                                  ":",
                                                  "@",
                                                  "#",
                                                  " ",
                                                  "18446744073709551616",
                                                  "4294967296",
                                                  "\xc3\x28",
                                                  "\x7f\xff\xff\xff"};
    switch (below(7)) {
      case 0:
        if (!input.empty()) input[below(input.size())] ^= static_cast<char>(1u << below(8));
        break;
      case 1:
        input.insert(below(input.size() + 1), 1, static_cast<char>(below(256)));
        break;
      case 2:
        if (!input.empty()) input.erase(below(input.size()), 1 + below(16));
        break;
      case 3:
        input.insert(below(input.size() + 1), interesting[below(std::size(interesting))]);
        break;
      case 4: {  // a piece of it again, perhaps many times
        if (input.empty()) break;
        const size_t from = below(input.size());
        const std::string piece = input.substr(from, 1 + below(64));
        const size_t times = 1 + below(below(8) == 0 ? 512 : 4);
        std::string repeated;
        for (size_t index = 0; index < times; ++index) repeated += piece;
        input.insert(below(input.size() + 1), repeated);
        break;
      }
      case 5: {  // a piece of another
        const std::string& other = corpus_[below(corpus_.size())];
        if (!other.empty())
          input.insert(below(input.size() + 1), other.substr(below(other.size()), 1 + below(256)));
        break;
      }
      default:
        if (!input.empty()) input.resize(below(input.size()));
    }
  }

  const std::vector<std::string>& corpus_;
  std::mt19937_64 random_;
};

}  // namespace

int main(int argc, char** argv) {
  long seconds = 0;
  uint64_t seed = std::random_device{}();
  std::vector<std::string> places;
  for (int index = 1; index < argc; ++index) {
    const std::string argument = argv[index];
    if (argument == "--seconds" && index + 1 < argc) {
      seconds = atol(argv[++index]);
    } else if (argument == "--seed" && index + 1 < argc) {
      seed = strtoull(argv[++index], nullptr, 10);
    } else {
      places.push_back(argument);
    }
  }
  crash_path = "crash-" + std::filesystem::path(argv[0]).filename().string();
  died = "the target died of the input in " + crash_path + " (seed " + std::to_string(seed) + "):\n";
  for (int number : {SIGSEGV, SIGABRT, SIGBUS, SIGFPE, SIGILL}) signal(number, keep_input);

  const auto corpus = read_corpus(places);
  for (const auto& input : corpus) run(input);
  Mutator mutator(corpus, seed);
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(seconds);
  size_t runs = corpus.size();
  for (; std::chrono::steady_clock::now() < end; ++runs) run(mutator.next());
  printf("%zu inputs, seed %llu\n", runs, static_cast<unsigned long long>(seed));
}
