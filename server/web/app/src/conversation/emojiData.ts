/** The names of emoji, from this server: nothing of a conversation's reader is told to anybody else. */

import dataUrl from "emojibase-data/en/data.json?url";
import messages from "emojibase-data/en/messages.json";
import type { EmojiData, SkinTone } from "frimousse";
import { drawsAsOne } from "./emojiSupport.ts";

/** What of emojibase's data is used here. */
interface Entry {
  readonly emoji: string;
  readonly label: string;
  readonly version: number;
  readonly group?: number;
  readonly tags?: readonly string[];
  readonly skins?: readonly { readonly emoji: string; readonly tone?: number | readonly number[] }[];
}

type Tone = Exclude<SkinTone, "none">;

/** By emojibase's numbers, from 1. */
const tones: readonly Tone[] = ["light", "medium-light", "medium", "medium-dark", "dark"];

/** Reads the emoji that this device can draw. */
export async function loadEmoji(locale: string, { signal }: { signal?: AbortSignal }): Promise<EmojiData> {
  const response = await fetch(dataUrl, { ...(signal !== undefined && { signal }) });
  if (!response.ok) throw new Error(`emoji data: ${response.status}`);
  const entries = (await response.json()) as readonly Entry[];
  return emojiDataOf(locale, entries, newestDrawn(entries, drawsAsOne));
}

/** The data as the picker wants it, without what is newer than this version of emoji. */
export function emojiDataOf(locale: string, entries: readonly Entry[], newest: number): EmojiData {
  // Skin tones by themselves are parts of emoji.
  const groups = messages.groups.filter((group) => group.key !== "component");
  const shown = new Set(groups.map((group) => group.order));
  const used = entries.filter((entry) => entry.group !== undefined && shown.has(entry.group) && entry.version <= newest);
  return {
    locale,
    emojis: used.map(({ emoji, label, version, group = 0, tags = [], skins }) => ({
      emoji,
      category: group,
      label: capital(label),
      version,
      tags: [...tags],
      ...skinsOf(skins),
    })),
    categories: groups.map((group) => ({ index: group.order, label: capital(group.message) })),
    skinTones: Object.fromEntries(messages.skinTones.map((tone) => [tone.key, capital(tone.message)])) as Record<Tone, string>,
  };
}

/** The newest version of emoji of which the first one is drawn. */
export function newestDrawn(entries: readonly Entry[], draws: (emoji: string) => boolean): number {
  const first = new Map<number, string>();
  for (const { version, emoji, group } of entries) if (group !== undefined && !first.has(version)) first.set(version, emoji);
  const versions = [...first.keys()].sort((a, b) => b - a);
  return versions.find((version) => draws(first.get(version) as string)) ?? 0;
}

function skinsOf(skins: Entry["skins"]): { skins?: Record<Tone, string> } {
  const single = skins?.filter((skin) => typeof skin.tone === "number") ?? [];
  if (single.length < tones.length) return {};
  return {
    skins: Object.fromEntries(single.map((skin) => [tones[(skin.tone as number) - 1], skin.emoji])) as Record<Tone, string>,
  };
}

function capital(text: string): string {
  return text.charAt(0).toUpperCase() + text.slice(1);
}
