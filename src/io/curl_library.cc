// dlopen of libcurl.
#include "io/curl_library.h"

#include <dlfcn.h>

#include <string>

#include "base/format.h"

namespace berth::io {
namespace {

template <class Function>
bool find(void* library, const char* name, Function& function) {
  function = reinterpret_cast<Function>(::dlsym(library, name));
  return function != nullptr;
}

Result<CurlLibrary> open_library() {
  // The name is that of curl's ABI, unchanged since 2006; Debian's is in libcurl4.
  void* library = ::dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);
  if (library == nullptr) {
    return failure(Kind::NotFound,
                   "downloads need libcurl ({}): install it with \"apt-get install libcurl4\"", ::dlerror());
  }
  CurlLibrary curl{};
  bool complete = find(library, "curl_global_init", curl.global_init) &&
                  find(library, "curl_easy_init", curl.easy_init) &&
                  find(library, "curl_easy_cleanup", curl.easy_cleanup) &&
                  find(library, "curl_easy_reset", curl.easy_reset) &&
                  find(library, "curl_easy_setopt", curl.easy_setopt) &&
                  find(library, "curl_easy_perform", curl.easy_perform) &&
                  find(library, "curl_easy_getinfo", curl.easy_getinfo) &&
                  find(library, "curl_easy_strerror", curl.easy_strerror) &&
                  find(library, "curl_slist_append", curl.slist_append) &&
                  find(library, "curl_slist_free_all", curl.slist_free_all);
  if (!complete)
    return Error(Kind::Unsupported, "downloads need a complete libcurl.so.4, this one lacks functions");
  curl.global_init(CURL_GLOBAL_DEFAULT);
  return curl;
}

}  // namespace

Result<const CurlLibrary*> CurlLibrary::load() {
  static const Result<CurlLibrary> library = open_library();
  if (!library) return library.error();
  return &*library;
}

}  // namespace berth::io
