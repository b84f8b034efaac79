// Transfer: bytes between the engine and files or the standard streams.
#pragma once

#include <string>

#include "apps/berth/client/client.h"
#include "apps/berth/context.h"
#include "sys/fd.h"

namespace berth::cli::commands {

/// A file (or any descriptor) from its position to its end as the body of a request.
client::Producer content_of(int fd);

/// Where `save` and `export` write: a file that appears under its name only when complete, or standard
/// output.
class OutputFile {
 public:
  /// `path` empty: standard output, refused when that is a terminal ("cowardly refusing to <verb> to a
  /// terminal").
  static Outcome<OutputFile> open(Context& context, const std::string& path, std::string_view verb);
  ~OutputFile();
  OutputFile(OutputFile&& other) noexcept;
  OutputFile& operator=(OutputFile&&) = delete;

  Outcome<void> write(std::string_view bytes);
  /// The transfer is complete: the file gets its name.
  Outcome<void> commit();

 private:
  OutputFile() = default;
  sys::UniqueFd file_;
  int fd_ = 1;
  std::string path_;
  std::string temporary_;  ///< empty when the path is not a regular file
};

/// Opens a file for reading, worded as Go does.
Outcome<sys::UniqueFd> open_input(const std::string& path);

}  // namespace berth::cli::commands
