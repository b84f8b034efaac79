// CurlLibrary: libcurl, loaded when the first download needs it. It brings some thirty other libraries, which
// an idle daemon that fetches nothing should not map.
#pragma once

#include <curl/curl.h>

#include "base/result.h"

namespace berth::io {

struct CurlLibrary {
  decltype(&::curl_global_init) global_init;
  decltype(&::curl_easy_init) easy_init;
  decltype(&::curl_easy_cleanup) easy_cleanup;
  decltype(&::curl_easy_reset) easy_reset;
  decltype(&::curl_easy_setopt) easy_setopt;
  decltype(&::curl_easy_perform) easy_perform;
  decltype(&::curl_easy_getinfo) easy_getinfo;
  decltype(&::curl_easy_strerror) easy_strerror;
  decltype(&::curl_slist_append) slist_append;
  decltype(&::curl_slist_free_all) slist_free_all;

  /// Loads and initialises it once. NotFound that names the package when it is missing. From any thread.
  static Result<const CurlLibrary*> load();
};

}  // namespace berth::io
