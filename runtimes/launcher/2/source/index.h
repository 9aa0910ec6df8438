// The launcher's index as it stands in the file, little endian (specification 1.0, clause 14.2.4).
#pragma once
#include <stdint.h>

enum { INDEX_OFFSET = 0x400, INDEX_BUILDS = 36, INDEX_VERSION = 2, INDEX_EXTERNAL = 1 };
#define INDEX_MAGIC "LFFIDX1"

typedef struct {
    char target[20];   // "linux-x86_64", NUL behind it
    char flavour[12];  // "native", "reference"
    uint64_t offset, size;
    uint8_t sha256[32];
} Build;

typedef struct {
    char magic[8];
    uint32_t version, flags, count, entry_size;
    uint64_t weights_offset, weights_size;    // of the default model; both 0 where there is none
    uint64_t manifest_offset, manifest_size;  // with INDEX_EXTERNAL: of the container beside this file
    uint8_t manifest_sha256[32];
    uint8_t reserved[104];
    Build builds[INDEX_BUILDS];
} Index;

_Static_assert(sizeof(Build) == 80 && sizeof(Index) == 192 + 36 * 80, "the layout of clause 14.2.4");

static int same(const char *a, const char *b) {
    while (*a && *a == *b) a++, b++;
    return *a == *b;
}

static int same_bytes(const uint8_t *a, const uint8_t *b, int count) {
    while (count--)
        if (*a++ != *b++) return 0;
    return 1;
}

// A build that can be used: every name ends inside its field.
static int index_is_sound(Index *index) {
    if (!same(index->magic, INDEX_MAGIC) || index->version != INDEX_VERSION) return 0;
    if (index->count > INDEX_BUILDS || index->entry_size != sizeof(Build)) return 0;
    for (uint32_t i = 0; i < index->count; i++)
        if (index->builds[i].target[19] || index->builds[i].flavour[11]) return 0;
    return 1;
}

// The first build for `target` of the wanted `flavour`; without a wish native, else the first there is; or none.
static const Build *index_find(const Index *index, const char *target, const char *flavour) {
    const Build *any = 0;
    for (uint32_t i = 0; i < index->count; i++) {
        const Build *build = &index->builds[i];
        if (!same(build->target, target)) continue;
        if (same(build->flavour, *flavour ? flavour : "native")) return build;
        if (!any && !*flavour) any = build;
    }
    return any;
}

// Bytes that this file must have at least: all builds are in it, and the model, unless that is in the file beside.
static uint64_t index_end(const Index *index) {
    uint64_t end = index->flags & INDEX_EXTERNAL ? 0 : index->weights_offset + index->weights_size;
    for (uint32_t i = 0; i < index->count; i++) {
        const Build *build = &index->builds[i];
        if (build->offset + build->size > end) end = build->offset + build->size;
    }
    return end;
}

// What only a command that has verified the file may give to a program; also names that are kept for it.
#define NOT_INHERITED "LFF_CONTAINER_FD", "LFF_FURTHER_FD", "LFF_WEBUI"

static void hex(const uint8_t *bytes, char *text) {
    for (int i = 0; i < 32; i++) {
        *text++ = "0123456789abcdef"[bytes[i] >> 4];
        *text++ = "0123456789abcdef"[bytes[i] & 15];
    }
    *text = 0;
}

static void decimal(uint64_t value, char *text) {
    char digits[24];
    int count = 0;
    do digits[count++] = (char)('0' + value % 10);
    while (value /= 10);
    while (count) *text++ = digits[--count];
    *text = 0;
}
