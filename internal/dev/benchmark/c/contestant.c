// The floor of the benchmark: the least that a program has to do for a slice,
// with ONNX Runtime's C API and libpng.
//
//   contestant MODEL.onnx SIZE_MULTIPLE LOW HIGH IGNORE
//
// Reads commands from standard input and answers each with a line:
//
//   slice IN.png OUT.png   PNG to mask PNG; answers the nanoseconds it took
//   run N                  N runs on the last slice; answers N numbers of nanoseconds
//
// The image input is uint8 [1,1,h,w] and named "image", the window float32 [2]
// named "window", the output uint8 [1,h,w] named "mask". An error ends the
// program.
#include <errno.h>
#include <fcntl.h>
#include <png.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "onnxruntime_c_api.h"

static const OrtApi *ort;

static void die(const char *what, const char *why) {
	fprintf(stderr, "c contestant: %s: %s\n", what, why);
	exit(1);
}

static void check(OrtStatus *status) {
	if (status) die("ONNX Runtime", ort->GetErrorMessage(status));
}

static int64_t now(void) {
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static int multiple, ignore;
static double low, high;

static OrtSession *session;
static OrtMemoryInfo *memory;

// The tensors of the size of the last slice.
static int tensor_width, tensor_height;
static uint8_t *image, *mask;
static float window[2];
static OrtValue *values[3]; // image, window, mask

static OrtValue *tensor(void *data, size_t bytes, const int64_t *shape, size_t rank, ONNXTensorElementDataType type) {
	OrtValue *value = NULL;
	check(ort->CreateTensorWithDataAsOrtValue(memory, data, bytes, shape, rank, type, &value));
	return value;
}

static void allocate(int width, int height) {
	if (width == tensor_width && height == tensor_height) return;
	for (int i = 0; i < 3; i++)
		if (values[i]) ort->ReleaseValue(values[i]);
	free(image);
	free(mask);
	size_t n = (size_t)width * height;
	image = malloc(n);
	mask = malloc(n);
	if (!image || !mask) die("allocate", "out of memory");
	int64_t in[] = {1, 1, height, width}, out[] = {1, height, width}, two[] = {2};
	values[0] = tensor(image, n, in, 4, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
	values[1] = tensor(window, sizeof window, two, 1, ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT);
	values[2] = tensor(mask, n, out, 3, ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8);
	tensor_width = width;
	tensor_height = height;
}

static void run(void) {
	static const char *inputs[] = {"image", "window"}, *outputs[] = {"mask"};
	check(ort->Run(session, NULL, inputs, (const OrtValue *const *)values, 2, outputs, 1, &values[2]));
}

// set_window follows the rule of internal/segmentation/window.go.
static void set_window(const uint8_t *pixels, size_t n) {
	int64_t histogram[256] = {0}, counted = 0;
	for (size_t i = 0; i < n; i++) histogram[pixels[i]]++;
	for (int v = ignore + 1; v < 256; v++) counted += histogram[v];
	if (counted == 0) {
		window[0] = 0;
		window[1] = 255;
		return;
	}
	double shares[] = {low, high};
	for (int i = 0; i < 2; i++) {
		int64_t index = (int64_t)(shares[i] * (double)(counted - 1)), seen = 0;
		for (int v = ignore + 1; v < 256; v++)
			if ((seen += histogram[v]) > index) {
				window[i] = (float)v;
				break;
			}
	}
	if (window[1] <= window[0]) window[1] = window[0] + 1;
}

static void write_mask(const char *path, const uint8_t *pixels, int width, int height, int stride) {
	char temporary[4096];
	snprintf(temporary, sizeof temporary, "%s.tmp", path);
	int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL, 0640);
	FILE *file = fd < 0 ? NULL : fdopen(fd, "wb");
	if (!file) die(temporary, strerror(errno));
	png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
	png_infop info = png_create_info_struct(png);
	if (!png || !info || setjmp(png_jmpbuf(png))) die(temporary, "cannot write PNG");
	png_init_io(png, file);
	png_set_compression_level(png, 1);
	png_set_filter(png, 0, PNG_FILTER_NONE);
	png_set_IHDR(png, info, width, height, 8, PNG_COLOR_TYPE_GRAY, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
	png_write_info(png, info);
	for (int y = 0; y < height; y++) png_write_row(png, pixels + (size_t)y * stride);
	png_write_end(png, NULL);
	png_destroy_write_struct(&png, &info);
	if (fflush(file) || fsync(fd) || fclose(file) || rename(temporary, path)) die(path, strerror(errno));
}

static void slice(const char *in, const char *out) {
	static uint8_t *pixels;
	static size_t capacity;
	png_image picture = {.version = PNG_IMAGE_VERSION};
	if (!png_image_begin_read_from_file(&picture, in)) die(in, picture.message);
	picture.format = PNG_FORMAT_GRAY;
	int width = picture.width, height = picture.height;
	size_t n = (size_t)width * height;
	if (n > capacity) {
		free(pixels);
		pixels = malloc(n);
		if (!pixels) die("allocate", "out of memory");
		capacity = n;
	}
	if (!png_image_finish_read(&picture, NULL, pixels, width, NULL)) die(in, picture.message);
	allocate((width + multiple - 1) / multiple * multiple, (height + multiple - 1) / multiple * multiple);
	set_window(pixels, n);
	memset(image, 0, (size_t)tensor_width * tensor_height);
	for (int y = 0; y < height; y++) memcpy(image + (size_t)y * tensor_width, pixels + (size_t)y * width, width);
	run();
	write_mask(out, mask, width, height, tensor_width);
}

int main(int argc, char **argv) {
	if (argc != 6) die("usage", "contestant MODEL.onnx SIZE_MULTIPLE LOW HIGH IGNORE");
	multiple = atoi(argv[2]);
	low = atof(argv[3]);
	high = atof(argv[4]);
	ignore = atoi(argv[5]);
	ort = OrtGetApiBase()->GetApi(ORT_API_VERSION);
	if (!ort) die("ONNX Runtime", "the library is too old");
	OrtEnv *environment;
	OrtSessionOptions *options;
	check(ort->CreateEnv(ORT_LOGGING_LEVEL_ERROR, "benchmark", &environment));
	check(ort->CreateSessionOptions(&options));
	check(ort->SetIntraOpNumThreads(options, 1));
	check(ort->SetInterOpNumThreads(options, 1));
	check(ort->SetSessionGraphOptimizationLevel(options, ORT_ENABLE_ALL));
	check(ort->CreateSession(environment, argv[1], options, &session));
	check(ort->CreateCpuMemoryInfo(OrtArenaAllocator, OrtMemTypeDefault, &memory));

	char line[8192], in[4096], out[4096];
	int n;
	while (fgets(line, sizeof line, stdin)) {
		if (sscanf(line, "slice %4095s %4095s", in, out) == 2) {
			int64_t start = now();
			slice(in, out);
			printf("%lld\n", (long long)(now() - start));
		} else if (sscanf(line, "run %d", &n) == 1 && values[0]) {
			for (int i = 0; i < n; i++) {
				int64_t start = now();
				run();
				printf("%lld ", (long long)(now() - start));
			}
			printf("\n");
		} else {
			die("unknown command", line);
		}
		fflush(stdout);
	}
	return 0;
}
