package segmentation

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
static void map_large(size_t bytes) { mallopt(M_MMAP_THRESHOLD, (int)bytes); }
static void trim(void) { malloc_trim(0); }
#else
static void map_large(size_t bytes) { (void)bytes; }
static void trim(void) {}
#endif
*/
import "C"

// mapLargeC has the C library map what has half a megabyte and more, such as the
// memory pools of ONNX Runtime, on its own, so that it is given back as soon as
// it is freed. Left to itself glibc does so at first, but raises the threshold to
// 32 MB as it sees large pieces freed, and then keeps up to 64 MB for each thread
// that malloc_trim does not reach. Other C libraries do without.
func mapLargeC() { C.map_large(512 << 10) }

// trimC gives the system what the C library keeps of freed memory.
func trimC() { C.trim() }
