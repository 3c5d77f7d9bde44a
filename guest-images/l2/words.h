/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only reader of the command line: words `name=value` between blanks, the last one wins, as in Linux.
 */
#ifndef WORDS_H
#define WORDS_H

#include <stddef.h>
#include <stdint.h>

static inline int word_ends(char c)
{
	return c == '\0' || c == ' ' || c == '\t' || c == '\n';
}

/* What follows name at this place, or NULL. */
static inline const char *word_after(const char *at, const char *name)
{
	while (*name && *at == *name)
		at++, name++;
	return *name ? NULL : at;
}

/* The value of the word; name includes its "=". NULL if it is not there. */
static inline const char *word_find(const char *line, const char *name)
{
	const char *found = NULL;

	for (const char *at = line; *at; at++) {
		if ((at == line || word_ends(at[-1])) && word_after(at, name))
			found = word_after(at, name);
	}
	return found;
}

/* Take a decimal number and step over it. 0 if there is none, or it is too large. */
static inline int word_take_u64(const char **at, uint64_t *value)
{
	const char *start = *at;

	for (*value = 0; **at >= '0' && **at <= '9'; (*at)++) {
		if (__builtin_mul_overflow(*value, 10, value) ||
		    __builtin_add_overflow(*value, (uint64_t)(**at - '0'), value))
			return 0;
	}
	return *at != start;
}

static inline int word_nibble(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	return c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Take 2 * size hexadecimal digits and step over them. 0 if there are fewer. */
static inline int word_take_hex(const char **at, uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++, *at += 2) {
		int high = word_nibble((*at)[0]);
		int low = high < 0 ? -1 : word_nibble((*at)[1]);

		if (low < 0)
			return 0;
		bytes[i] = (uint8_t)(high << 4 | low);
	}
	return 1;
}

/* Take one separator and step over it. */
static inline int word_take(const char **at, char c)
{
	if (**at != c)
		return 0;
	(*at)++;
	return 1;
}

/* A word that is one whole number. 1 and *value untouched if it is absent; 0 if it is there and wrong. */
static inline int word_u64(const char *line, const char *name, uint64_t *value)
{
	const char *at = word_find(line, name);

	return !at || (word_take_u64(&at, value) && word_ends(*at));
}

#endif
