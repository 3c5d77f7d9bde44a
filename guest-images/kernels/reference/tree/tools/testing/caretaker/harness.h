/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What the userspace tests of the caretaker share: CHECK() fails the test that runs, and
 * says where; run_tests() runs all of a table and prints KTAP.
 */
#ifndef CT_HARNESS_H
#define CT_HARNESS_H

#include <stdio.h>

struct test {
	const char *name;
	void (*run)(void);
};

#define TEST(function)	{ #function, function }

static int bad;

#define CHECK(x) do {							\
	if (!(x)) {							\
		printf("# %s:%d: not so: %s\n", __func__, __LINE__, #x); \
		bad = 1;						\
	}								\
} while (0)

/*
 * Run the tests in order. Lines are written as they are made, so that a test that crashes
 * is known by the ones before it.
 *
 * Return: 0 if none failed, 1 otherwise; what main() returns.
 */
static int run_tests(const struct test *tests, unsigned int n)
{
	int failed = 0;
	unsigned int i;

	setvbuf(stdout, (char *)0, _IOLBF, 0);
	printf("KTAP version 1\n1..%u\n", n);
	for (i = 0; i < n; i++) {
		bad = 0;
		tests[i].run();
		printf("%s %u %s\n", bad ? "not ok" : "ok", i + 1, tests[i].name);
		failed |= bad;
	}
	return failed;
}

#endif
