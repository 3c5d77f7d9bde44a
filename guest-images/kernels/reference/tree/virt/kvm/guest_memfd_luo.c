// SPDX-License-Identifier: GPL-2.0-only
/*
 * How the Live Update Orchestrator takes a guest_memfd to the next kernel.  See
 * Documentation/virt/kvm/async-run.rst.
 *
 * From preserve() on all pages are there, and none moves or goes: punching a
 * hole is refused, and guest_memfd's pages are not migrated.  The guest may
 * write to them, until the very end and beyond.
 */
#define pr_fmt(fmt) "guest_memfd: " fmt

#include <linux/file.h>
#include <linux/init.h>
#include <linux/io.h>
#include <linux/kexec_handover.h>
#include <linux/kho/abi/guest_memfd.h>
#include <linux/kvm_host.h>
#include <linux/liveupdate.h>
#include <linux/pagemap.h>
#include <linux/sched.h>
#include <linux/vmalloc.h>

#include "guest_memfd.h"

static u64 pages_of(const struct gmem_luo_ser *ser)
{
	return ser->size >> PAGE_SHIFT;
}

/* Memory that this kernel was denied, it cannot hand on either. */
static bool has_private_memory(struct kvm *kvm)
{
#ifdef CONFIG_ARM64
	return kvm && kvm_vm_is_protected(kvm);
#else
	return kvm && kvm_arch_has_private_mem(kvm);
#endif
}

static bool gmem_luo_can_preserve(struct liveupdate_file_handler *handler,
				  struct file *file)
{
	struct kvm *kvm;
	u64 flags;

	return kvm_gmem_describe(file, &flags, &kvm) &&
	       flags & GUEST_MEMFD_FLAG_INIT_SHARED && !has_private_memory(kvm);
}

static unsigned long gmem_luo_get_id(struct file *file)
{
	return (unsigned long)file_inode(file);
}

static void unpreserve_pages(const u64 *pfns, u64 n)
{
	while (n--)
		kho_unpreserve_folio(pfn_folio(pfns[n]));
}

/* Put down where all pages are, and have none of them be anybody's after. */
static u64 *preserve_pages(struct inode *inode, struct gmem_luo_ser *ser)
{
	u64 n = pages_of(ser), i;
	struct folio *folio;
	u64 *pfns;
	int err;

	pfns = vcalloc(n, sizeof(*pfns));
	if (!pfns)
		return ERR_PTR(-ENOMEM);

	for (i = 0; i < n; i++) {
		err = kvm_gmem_fill(inode, i, &folio);
		if (!err)
			err = kho_preserve_folio(folio);
		if (err)
			goto undo;
		pfns[i] = folio_pfn(folio);
		cond_resched();
	}
	err = kho_preserve_vmalloc(pfns, &ser->pfns);
	if (!err)
		return pfns;
undo:
	unpreserve_pages(pfns, i);
	vfree(pfns);
	return ERR_PTR(err);
}

static int gmem_luo_preserve(struct liveupdate_file_op_args *args)
{
	struct inode *inode = file_inode(args->file);
	struct gmem_luo_ser *ser;
	struct kvm *kvm;
	u64 *pfns;

	ser = kho_alloc_preserve(sizeof(*ser));
	if (IS_ERR(ser))
		return PTR_ERR(ser);

	kvm_gmem_describe(args->file, &ser->flags, &kvm);
	ser->size = i_size_read(inode);
	kvm_gmem_freeze(inode, true);
	pfns = preserve_pages(inode, ser);
	if (IS_ERR(pfns)) {
		kvm_gmem_freeze(inode, false);
		kho_unpreserve_free(ser);
		return PTR_ERR(pfns);
	}
	args->private_data = pfns;
	args->serialized_data = virt_to_phys(ser);
	return 0;
}

static void gmem_luo_unpreserve(struct liveupdate_file_op_args *args)
{
	struct gmem_luo_ser *ser = phys_to_virt(args->serialized_data);

	kho_unpreserve_vmalloc(&ser->pfns);
	unpreserve_pages(args->private_data, pages_of(ser));
	vfree(args->private_data);
	kvm_gmem_freeze(file_inode(args->file), false);
	kho_unpreserve_free(ser);
}

/* Free the pages from @from on, which nobody has. */
static void discard_pages(const u64 *pfns, u64 from, u64 n)
{
	struct folio *folio;

	for (; from < n; from++) {
		folio = kho_restore_folio(PFN_PHYS(pfns[from]));
		if (folio)
			folio_put(folio);
	}
}

static int add_page(struct address_space *mapping, pgoff_t index, u64 pfn)
{
	struct folio *folio = kho_restore_folio(PFN_PHYS(pfn));
	int err;

	if (!folio)
		return -EIO;

	err = filemap_add_folio(mapping, folio, index, mapping_gfp_mask(mapping));
	if (!err) {
		folio_mark_uptodate(folio);
		folio_unlock(folio);
	}
	folio_put(folio);
	return err;
}

static int retrieve_pages(struct file *file, const struct gmem_luo_ser *ser,
			  const u64 *pfns)
{
	u64 n = pages_of(ser), i;
	int err;

	for (i = 0; i < n; i++) {
		err = add_page(file->f_mapping, i, pfns[i]);
		if (err) {
			pr_err("page %llu cannot be retrieved: %d\n", i, err);
			discard_pages(pfns, i + 1, n);
			return err;
		}
		cond_resched();
	}
	return 0;
}

static int gmem_luo_retrieve(struct liveupdate_file_op_args *args)
{
	struct gmem_luo_ser *ser = phys_to_virt(args->serialized_data);
	u64 *pfns = kho_restore_vmalloc(&ser->pfns);
	struct file *file;
	int err = 0;

	if (!pfns) {
		err = -EINVAL;
		goto free_ser;
	}
	file = kvm_gmem_create_unclaimed(ser->size, ser->flags);
	if (IS_ERR(file)) {
		err = PTR_ERR(file);
		discard_pages(pfns, 0, pages_of(ser));
		goto free_pfns;
	}
	err = retrieve_pages(file, ser, pfns);
	if (err)
		fput(file);
	else
		args->file = file;
free_pfns:
	vfree(pfns);
free_ser:
	kho_restore_free(ser);
	return err;
}

/* What was retrieved is the file's, and what could not be was let go then. */
static void gmem_luo_finish(struct liveupdate_file_op_args *args)
{
	struct gmem_luo_ser *ser;
	u64 *pfns;

	if (args->retrieve_status)
		return;

	ser = phys_to_virt(args->serialized_data);
	pfns = kho_restore_vmalloc(&ser->pfns);
	if (pfns)
		discard_pages(pfns, 0, pages_of(ser));
	vfree(pfns);
	kho_restore_free(ser);
}

static const struct liveupdate_file_ops gmem_luo_ops = {
	.owner = THIS_MODULE,
	.can_preserve = gmem_luo_can_preserve,
	.get_id = gmem_luo_get_id,
	.preserve = gmem_luo_preserve,
	.unpreserve = gmem_luo_unpreserve,
	.retrieve = gmem_luo_retrieve,
	.finish = gmem_luo_finish,
};

static struct liveupdate_file_handler gmem_luo_handler = {
	.ops = &gmem_luo_ops,
	.compatible = GMEM_LUO_FH_COMPATIBLE,
};

static int __init gmem_luo_init(void)
{
	int err = liveupdate_register_file_handler(&gmem_luo_handler);

	if (err && err != -EOPNOTSUPP)
		pr_err("files cannot be preserved: %d\n", err);
	return 0;
}
late_initcall(gmem_luo_init);
