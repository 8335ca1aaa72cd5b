package segmentation

/*
#include <stdlib.h>
#ifdef __GLIBC__
#include <malloc.h>
static void trim(void) { malloc_trim(0); }
#else
static void trim(void) {}
#endif
*/
import "C"

// trimC gives the system what the C library keeps of freed memory. Other C
// libraries than glibc do so by themselves.
func trimC() { C.trim() }
