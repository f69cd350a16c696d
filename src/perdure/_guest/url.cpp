// The URL parser of Node (ada), in one unit, on the guest's allocator: counted, and zeroed when freed.
//
// No object outlives a native call, so a snapshot never has one. Nothing here can throw: the room a
// call may need is asked for before it (web.c).
#include <cstddef>
#include <new>

extern "C" {
void *url_allocate(size_t size);
void url_release(void *p);
}

void *operator new(size_t size) { return url_allocate(size); }
void *operator new[](size_t size) { return url_allocate(size); }
void *operator new(size_t size, const std::nothrow_t &) noexcept { return url_allocate(size); }
void *operator new[](size_t size, const std::nothrow_t &) noexcept { return url_allocate(size); }
void operator delete(void *p) noexcept { url_release(p); }
void operator delete[](void *p) noexcept { url_release(p); }
void operator delete(void *p, size_t) noexcept { url_release(p); }
void operator delete[](void *p, size_t) noexcept { url_release(p); }

#include "ada.cpp"
