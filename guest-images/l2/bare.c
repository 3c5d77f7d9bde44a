// SPDX-License-Identifier: Apache-2.0
/*
 * What spinner and ticker do alike: read the command line, make the pages, say where they are, start the vCPUs.
 */
#include "bare.h"

uint8_t bare_stack[BARE_MAX_VCPUS][BARE_STACK_SIZE] __attribute__((aligned(BARE_STACK_SIZE)));

static struct beacon_page page[BARE_MAX_VCPUS], spare[BARE_MAX_VCPUS];
static struct vcpu vcpus[BARE_MAX_VCPUS];
static struct options options;

void bare_print(const char *text)
{
	while (*text)
		arch_put(*text++);
}

void bare_print_hex(uint64_t value)
{
	int shift = 60;

	while (shift && !(value >> shift))
		shift -= 4;
	for (; shift >= 0; shift -= 4)
		arch_put("0123456789abcdef"[value >> shift & 15]);
}

static void print_decimal(uint64_t value)
{
	if (value >= 10)
		print_decimal(value / 10);
	arch_put((char)('0' + value % 10));
}

static void print_bytes(const uint8_t *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++) {
		arch_put("0123456789abcdef"[bytes[i] >> 4]);
		arch_put("0123456789abcdef"[bytes[i] & 15]);
	}
}

void bare_fail(const char *why)
{
	bare_print("BEACON failed: ");
	bare_print(why);
	bare_print("\n");
	arch_halt();
}

/* Unlike in each boot even where there is no random number instruction, unless two boots share a TSC value too. */
static void make_boot_id(struct beacon_identity *id)
{
	for (size_t half = 0; half < 2; half++) {
		uint64_t seed[3] = { arch_entropy(), arch_entropy(), half };
		uint64_t hash = siphash24(id->key, seed, sizeof(seed));

		beacon_copy(id->boot_id + 8 * half, &hash, 8);
	}
}

/* What is behind this image belongs to nobody, once the command line was read. */
static void open_ram(struct vcpu *v)
{
	struct range all = arch_ram();
	uint64_t begin = ((uintptr_t)bss_end + RAM_PAGE - 1) & ~(RAM_PAGE - 1ull);
	uint64_t free = all.end > begin ? (all.end - begin) / RAM_PAGE : 0;
	uint64_t most = (all.end - all.begin) / RAM_PAGE * options.ram / 100;

	ram_open(&v->ram, &options.id, v->index, (void *)(uintptr_t)begin, free, most);
	ram_show(&v->ram, &v->beacon);
}

static void open_vcpu(uint32_t index)
{
	struct vcpu *v = &vcpus[index];

	v->self = v;
	v->index = index;
	v->period_ns = options.id.period_ns;
	v->is_called = options.relay && index;
	v->calls = options.relay && index + 1 < options.vcpus ? &vcpus[index + 1] : NULL;
	v->fp_seed = siphash24(options.id.key, &v->index, sizeof(v->index));
	beacon_open(&v->beacon, &page[index], &options.id, index);
	open_ram(v);
	mutant_open(&v->mutant, &options.mutation, index, &v->ram, &spare[index]);
	bare_print("BEACON vcpu=");
	print_decimal(index);
	bare_print(" gpa=0x");
	bare_print_hex((uintptr_t)&page[index]);
	bare_print(" boot=");
	print_bytes(options.id.boot_id, 16);
	bare_print("\n");
}

static void start_vcpus(void)
{
	for (uint32_t i = 1; i < options.vcpus; i++) {
		if (!smp_boot(&vcpus[i], &vcpus[0]))
			bare_fail("a vCPU did not start; does vcpus= say how many the machine has?");
	}
	bare_print("BEACON beating n=");
	print_decimal(options.vcpus);
	bare_print("\n");
}

void bare_main(const char *command_line)
{
	const char *wrong = options_parse(command_line, &options);

	if (!wrong && options.vcpus > BARE_MAX_VCPUS)
		wrong = "vcpus= is more than 16";
	if (!wrong)
		wrong = clock_init(options.tsc_khz);
	if (wrong)
		bare_fail(wrong);
	options.id.nvcpus = (uint32_t)options.vcpus;
	make_boot_id(&options.id);
	for (uint32_t i = 0; i < options.vcpus; i++)
		open_vcpu(i);
	clock_start(&vcpus[0]);
	cpu_start(&vcpus[0]);
	start_vcpus();
	fp_arm(vcpus[0].fp_seed);
	payload_run(&vcpus[0]);
}

/* Where an application processor arrives, on its own stack. */
void bare_run(struct vcpu *vcpu)
{
	clock_start(vcpu);
	cpu_start(vcpu);
	fp_arm(vcpu->fp_seed);
	__atomic_store_n(&vcpu->running, 1, __ATOMIC_RELEASE);
	payload_run(vcpu);
}

/*
 * The compiler is kept off the FP registers, so that what fp_arm() put there must still be there at each beat,
 * whoever ran on this CPU in between.
 */
void bare_beat(struct vcpu *vcpu, uint64_t now)
{
	if (!fp_intact(vcpu->fp_seed)) {
		vcpu->beacon.last.faults++;
		fp_arm(vcpu->fp_seed);
	}
	mutant_beat(&vcpu->mutant, &vcpu->beacon, now);
}

/* A burst of it, to be called behind a beat. */
void bare_witness_ram(struct vcpu *vcpu)
{
	uint64_t began = clock_ns(vcpu), now = began;

	for (uint64_t done = 0; ram_may_go_on(&vcpu->ram, done, began, now); done++) {
		ram_step(&vcpu->ram, now);
		now = clock_ns(vcpu);
	}
	ram_show(&vcpu->ram, &vcpu->beacon);
}

/* A line that says how many there were before: what the VMM loses or repeats is seen. The first vCPU talks alone. */
void bare_chat(const struct vcpu *vcpu)
{
	static uint64_t due, count;
	uint64_t now;

	if (vcpu->index || !options.chat_ms)
		return;
	now = clock_ns(vcpu);
	if (now < due)
		return;
	due = now + options.chat_ms * 1000000;
	bare_print("CHAT ");
	print_decimal(count++);
	bare_print("\n");
}
