import type { Conversation, Member, Role } from "@natterjack/client";

/** From the lowest: each may do all that the ones before it may. */
export const roles: readonly Role[] = ["reader", "member", "admin", "owner"];

export const roleNames: Record<Role, string> = { reader: "Reader", member: "Member", admin: "Admin", owner: "Owner" };

/** Sends, edits, reacts and takes back: readers do none of it. */
export function mayWrite({ role }: Conversation): boolean {
  return rank(role) >= rank("member");
}

/** Renames, adds and removes. */
export function manages(role: Role): boolean {
  return rank(role) >= rank("admin");
}

/** The roles that somebody may give: admins up to member, owners all. */
export function mayGive(own: Role): readonly Role[] {
  switch (own) {
    case "owner":
      return roles;
    case "admin":
      return ["reader", "member"];
    default:
      return [];
  }
}

/** Whether somebody may change the role of another member, or remove them: only where they could have given that role. */
export function mayChange(own: Role, other: Role): boolean {
  return mayGive(own).includes(other);
}

/** As people sort: "Frog 9" before "Frog 10". */
const byName = new Intl.Collator(undefined, { numeric: true });

/** Those who decide first, then by name. */
export function sorted(members: readonly Member[]): Member[] {
  return [...members].sort((a, b) => rank(b.role) - rank(a.role) || byName.compare(a.user.displayName, b.user.displayName));
}

function rank(role: Role): number {
  return roles.indexOf(role);
}
