/* SPDX-License-Identifier: BSD-2-Clause */
#include "plugin_image.h"

#include <errno.h>
#include <gelf.h>
#include <libelf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "own.h"
#include "rddr_diff.h"

#define TABLE "rddr_diff_plugin"

/* What a table begins with, of whatever version. */
struct head {
	uint32_t abi, size;
};

static void end_elf(Elf **elf)
{
	elf_end(*elf);
}

/* Whether it is a shared object of this machine's word and byte order. */
static bool is_shared_object(Elf *elf)
{
	unsigned char class = sizeof(void *) == 8 ? ELFCLASS64 : ELFCLASS32;
	unsigned char order = __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__ ? ELFDATA2LSB : ELFDATA2MSB;
	GElf_Ehdr header;

	return elf && elf_kind(elf) == ELF_K_ELF && gelf_getehdr(elf, &header) && header.e_type == ET_DYN &&
	       header.e_ident[EI_CLASS] == class && header.e_ident[EI_DATA] == order;
}

static bool find_in(Elf *elf, Elf_Scn *section, const GElf_Shdr *header, GElf_Sym *out)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t n = data && header->sh_entsize ? data->d_size / header->sh_entsize : 0;

	for (size_t i = 0; i < n; i++) {
		GElf_Sym symbol;
		const char *name;

		if (!gelf_getsym(data, (int)i, &symbol) || symbol.st_shndx == SHN_UNDEF)
			continue;
		name = elf_strptr(elf, header->sh_link, symbol.st_name);
		if (name && strcmp(name, TABLE) == 0 && GELF_ST_TYPE(symbol.st_info) == STT_OBJECT) {
			*out = symbol;
			return true;
		}
	}
	return false;
}

static bool find_table(Elf *elf, GElf_Sym *out)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;

	while ((section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, &header) && header.sh_type == SHT_DYNSYM &&
		    find_in(elf, section, &header, out))
			return true;
	return false;
}

/* Where in the file an address lies, with len bytes from it on; -1: nowhere. */
static off_t file_offset(Elf *elf, GElf_Addr address, size_t len)
{
	size_t n;

	if (elf_getphdrnum(elf, &n))
		return -1;
	for (size_t i = 0; i < n; i++) {
		GElf_Phdr segment;

		if (!gelf_getphdr(elf, (int)i, &segment) || segment.p_type != PT_LOAD || address < segment.p_vaddr)
			continue;
		if (address - segment.p_vaddr <= segment.p_filesz &&
		    len <= segment.p_filesz - (address - segment.p_vaddr))
			return (off_t)(segment.p_offset + (address - segment.p_vaddr));
	}
	return -1;
}

static bool relocates_in(Elf_Scn *section, const GElf_Shdr *header, GElf_Addr from, GElf_Addr to)
{
	Elf_Data *data = elf_getdata(section, NULL);
	size_t n = data && header->sh_entsize ? data->d_size / header->sh_entsize : 0;

	for (size_t i = 0; i < n; i++) {
		GElf_Rela with;
		GElf_Rel without;
		GElf_Addr at = 0;

		if (header->sh_type == SHT_RELA && gelf_getrela(data, (int)i, &with))
			at = with.r_offset;
		else if (header->sh_type == SHT_REL && gelf_getrel(data, (int)i, &without))
			at = without.r_offset;
		if (at >= from && at < to)
			return true;
	}
	return false;
}

/* Whether everything from one address to another is zero, and stays so when it is loaded. */
static bool stays_zero(Elf *elf, int fd, GElf_Addr from, GElf_Addr to)
{
	off_t offset = file_offset(elf, from, to - from);
	Elf_Scn *section = NULL;
	GElf_Shdr header;

	if (offset < 0)
		return false;
	for (GElf_Addr at = from; at < to; at++, offset++) {
		char byte;

		if (pread(fd, &byte, 1, offset) != 1 || byte)
			return false;
	}
	while ((section = elf_nextscn(elf, section)))
		if (gelf_getshdr(section, &header) && relocates_in(section, &header, from, to))
			return false;
	return true;
}

static int check_table(Elf *elf, int fd, const GElf_Sym *symbol, char *err, size_t errlen)
{
	const size_t least = offsetof(struct rddr_diff_plugin, validate_params), ours = sizeof(struct rddr_diff_plugin);
	off_t offset = symbol->st_size >= least ? file_offset(elf, symbol->st_value, least) : -1;
	struct head head;

	if (offset < 0 || pread(fd, &head, sizeof(head), offset) != sizeof(head)) {
		snprintf(err, errlen, TABLE " is no table: it has %zu bytes", (size_t)symbol->st_size);
		return -EPROTO;
	}
	if (head.abi != RDDR_DIFF_ABI) {
		snprintf(err, errlen, TABLE " is of ABI %u, this rddr knows %u", head.abi, RDDR_DIFF_ABI);
		return -EPROTO;
	}
	if (head.size < least || head.size > symbol->st_size) {
		snprintf(err, errlen, TABLE " says that its size is %u, of %zu bytes that are there", head.size,
			 (size_t)symbol->st_size);
		return -EPROTO;
	}
	if (head.size > ours && !stays_zero(elf, fd, symbol->st_value + ours, symbol->st_value + head.size)) {
		snprintf(err, errlen, TABLE " has operations that this rddr does not know: size %u, ours is %zu",
			 head.size, ours);
		return -EPROTO;
	}
	return 0;
}

int rddr_plugin_image_check(int fd, char *err, size_t errlen)
{
	_owned_(end_elf) Elf *elf = NULL;
	GElf_Sym symbol;

	if (elf_version(EV_CURRENT) == EV_NONE) {
		snprintf(err, errlen, "libelf: %s", elf_errmsg(-1));
		return -ENOTSUP;
	}
	elf = elf_begin(fd, ELF_C_READ, NULL);
	if (!is_shared_object(elf)) {
		snprintf(err, errlen, "is no shared object for this machine");
		return -ENOEXEC;
	}
	if (!find_table(elf, &symbol)) {
		snprintf(err, errlen, "exports no " TABLE);
		return -ENOEXEC;
	}
	return check_table(elf, fd, &symbol, err, errlen);
}
