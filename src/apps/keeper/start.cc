// What a program needs in place of libc: its entry, the four memory functions that the compiler calls, and
// the ends of those library functions that can fail. Left out under sanitizers, which bring a libc.
#include <cstddef>

#include "apps/keeper/main.h"
#include "sys/kernel_call.h"

#ifdef BERTH_HOSTED

int main(int argc, char** argv, char** environment) {
  return berth::keeper::run_program(argc, argv, environment);
}

#else

#if defined(__x86_64__)
__asm__(
    ".globl _start\n"
    "_start:\n"
    "  xor %ebp, %ebp\n"
    "  mov %rsp, %rdi\n"
    "  and $-16, %rsp\n"
    "  call berth_start\n"
    "  hlt\n");
#elif defined(__aarch64__)
__asm__(
    ".globl _start\n"
    "_start:\n"
    "  mov x29, #0\n"
    "  mov x30, #0\n"
    "  mov x0, sp\n"
    "  bl berth_start\n"
    "  brk #0\n");
#endif

extern "C" {

/// `stack` is what the kernel leaves: argc, argv..., null, environment..., null.
[[noreturn, gnu::used]] void berth_start(long* stack) {
  int argc = static_cast<int>(stack[0]);
  auto** argv = reinterpret_cast<char**>(stack + 1);
  berth::sys::call::exit(berth::keeper::run_program(argc, argv, argv + argc + 1));
}

[[gnu::used]] void* memcpy(void* target, const void* source, size_t size) {
#if defined(__x86_64__)
  void* result = target;
  __asm__ volatile("rep movsb" : "+D"(target), "+S"(source), "+c"(size) : : "memory");
  return result;
#else
  auto* to = static_cast<volatile unsigned char*>(target);
  const auto* from = static_cast<const unsigned char*>(source);
  for (size_t i = 0; i < size; ++i) to[i] = from[i];
  return target;
#endif
}

[[gnu::used]] void* memmove(void* target, const void* source, size_t size) {
  auto* to = static_cast<volatile unsigned char*>(target);
  const auto* from = static_cast<const unsigned char*>(source);
  if (to <= from || to >= from + size) return memcpy(target, source, size);
  while (size-- > 0) to[size] = from[size];
  return target;
}

[[gnu::used]] void* memset(void* target, int value, size_t size) {
#if defined(__x86_64__)
  void* result = target;
  __asm__ volatile("rep stosb" : "+D"(target), "+c"(size) : "a"(value) : "memory");
  return result;
#else
  auto* to = static_cast<volatile unsigned char*>(target);
  for (size_t i = 0; i < size; ++i) to[i] = static_cast<unsigned char>(value);
  return target;
#endif
}

[[gnu::used]] int memcmp(const void* left, const void* right, size_t size) {
  const auto* a = static_cast<const volatile unsigned char*>(left);
  const auto* b = static_cast<const volatile unsigned char*>(right);
  for (size_t i = 0; i < size; ++i) {
    unsigned char x = a[i], y = b[i];
    if (x != y) return x < y ? -1 : 1;
  }
  return 0;
}

[[gnu::used]] void* memchr(const void* memory, int value, size_t size) {
  const auto* bytes = static_cast<const volatile unsigned char*>(memory);
  for (size_t i = 0; i < size; ++i)
    if (bytes[i] == static_cast<unsigned char>(value))
      return const_cast<unsigned char*>(static_cast<const unsigned char*>(memory) + i);
  return nullptr;
}

[[gnu::used]] size_t strlen(const char* text) {
  const auto* end = static_cast<const volatile char*>(text);
  while (*end != 0) ++end;
  return static_cast<size_t>(end - text);
}

[[noreturn, gnu::used]] void abort() {
  constexpr int kCrash = 134;
  berth::sys::call::exit(kCrash);
}

}  // extern "C"

// Where the standard library would throw, the program is wrong: it ends, and its container with it.
namespace std {
[[noreturn, gnu::used]] void __throw_bad_variant_access(const char*) {
  abort();
}
[[noreturn, gnu::used]] void __throw_out_of_range_fmt(const char*, ...) {
  abort();
}
[[noreturn, gnu::used]] void __throw_length_error(const char*) {
  abort();
}
[[noreturn, gnu::used]] void __throw_bad_array_new_length() {
  abort();
}
[[noreturn, gnu::used]] void __glibcxx_assert_fail(const char*, int, const char*, const char*) noexcept {
  abort();
}
}  // namespace std

#endif
