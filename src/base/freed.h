// Freed: the deleter of a unique_ptr to what a C library frees by a function: unique_ptr<BIO,
// Freed<BIO_free>>.
#pragma once

namespace berth {

template <auto Free>
struct Freed {
  template <class T>
  void operator()(T* object) const {
    Free(object);
  }
};

}  // namespace berth
