# Compiler, linker and cache settings for all targets.
set(CMAKE_CXX_FLAGS_DEV "-O0 -g1")
set(CMAKE_C_FLAGS_DEV "-O0 -g1")
set(CMAKE_CXX_FLAGS_RELEASE "-O2")
set(CMAKE_C_FLAGS_RELEASE "-O2")

add_compile_options(-Wall -Wextra -Wno-missing-field-initializers -fno-omit-frame-pointer)
# g++ 12 reports dangling and uninitialised uses inside its own coroutine frames and libstdc++ at -O2.
add_compile_options($<$<CONFIG:Release>:-Wno-maybe-uninitialized>)
# It also takes assignment of short literals to std::string for overlapping copies (GCC bug 105651).
add_compile_options($<$<CONFIG:Release>:-Wno-restrict>)
if(BERTH_WERROR)
  add_compile_options(-Werror)
endif()
add_compile_definitions(_FILE_OFFSET_BITS=64 BERTH_VERSION="${PROJECT_VERSION}")
# -iquote and not -I: sys/file.h, sys/mount.h and sys/syscall.h are names of libc's headers too.
add_compile_options(-iquote ${CMAKE_SOURCE_DIR}/src)

if(BERTH_SANITIZE)
  add_compile_options(-fsanitize=${BERTH_SANITIZE} -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${BERTH_SANITIZE})
endif()

find_program(BERTH_MOLD mold)
if(BERTH_MOLD)
  add_link_options(-fuse-ld=mold)
endif()

find_program(BERTH_CCACHE ccache)
if(BERTH_CCACHE)
  # Build folders share results: paths are made relative and the working folder is not hashed.
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CMAKE_COMMAND} -E env CCACHE_BASEDIR=${CMAKE_SOURCE_DIR} CCACHE_NOHASHDIR=1
      CCACHE_SLOPPINESS=time_macros,include_file_mtime,include_file_ctime ${BERTH_CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CMAKE_CXX_COMPILER_LAUNCHER})
endif()

find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
