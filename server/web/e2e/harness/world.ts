import { MemberRole } from "@natterjack/proto/chat/v1/conversation_pb.js";
import { Person } from "./person.js";

/** An account with conversations: what its screens show can be looked at, by a program or by a designer. */
export interface World {
  readonly me: Person;
  /** A direct conversation and a group, with titles as the list shows them. */
  readonly direct: { id: string; title: string };
  readonly group: { id: string; title: string };
  /** Others with something to look at. */
  readonly more: readonly { id: string; name: string }[];
  close(): void;
}

/** A team in the middle of its week. */
export async function usualWorld(
  url: string,
  usernameOf: (name: string) => string | undefined = () => undefined,
): Promise<World> {
  const signUp = (name: string) => Person.signUp(url, name, usernameOf(name));
  const me = await signUp("Ada Lovelace");
  const names = [
    "Grace Hopper",
    "Alan Turing",
    "Katherine Johnson",
    "Linus",
    "Margaret Hamilton",
    "Edsger Dijkstra",
    "Barbara Liskov",
  ];
  const people = await Promise.all(names.map(signUp));
  const [grace, alan, katherine, linus, margaret] = people as [Person, Person, Person, Person, Person];
  const lines = [
    "See you at the pond at six.",
    "The build is green again 🎉",
    "Can you look at my change?",
    "Thanks!",
    "Which room?",
    "👍",
    "Lunch?",
  ];
  for (const [i, person] of people.slice(2).entries()) await person.send(await person.direct(me), lines[i] ?? "Hello");

  const group = await me.group("Launch team", [grace, alan, katherine, linus], MemberRole.MEMBER);
  await grace.send(group, "Morning! The **release candidate** is out: https://example.com/releases/4.2");
  const question = await alan.send(group, "Did anybody run it on the old phones?");
  await me.send(group, "I did. Two things:\n- the list is smooth\n- `markRead` fires twice when one scrolls fast");
  await me.send(group, "The second is mine, I'll mend it.");
  const answer = await katherine.send(
    group,
    "On mine too. Here is what I saw:\n```\npanic: index out of range [3]\n  at timeline.go:118\n```",
    question.seq,
  );
  await linus.chat.addReaction({ conversationId: group, seq: answer.seq, emoji: "👀" });
  await grace.chat.addReaction({ conversationId: group, seq: answer.seq, emoji: "👀" });
  await me.chat.addReaction({ conversationId: group, seq: answer.seq, emoji: "👍" });
  const wrong = await linus.send(group, "Wrong window, sorry");
  await linus.chat.deleteMessage({ conversationId: group, seq: wrong.seq });
  const edited = await linus.send(group, "I'll take the tablet");
  await linus.chat.editMessage({ conversationId: group, seq: edited.seq, content: "I'll take the tablet, and the old laptop" });
  await margaret.send(await margaret.direct(me), "Did you see the photos?");

  const direct = await grace.direct(me);
  await me.send(direct, "Are you in today?");
  await grace.send(direct, "From ten. Coffee first ☕");
  await me.send(
    direct,
    "Then I'll bring the printouts. The appendix is long, so I only took the pages that changed, and the summary.",
  );
  await grace.send(direct, "🎉🎉");
  await grace.send(
    direct,
    "> the pages that changed\n\nPerfect, that's all I need. Have you asked Alan whether he wants a copy?",
  );
  await me.send(direct, "Not yet");
  return {
    me,
    direct: { id: direct, title: "Grace Hopper" },
    group: { id: group, title: "Launch team" },
    more: [],
    close: closeAll(me, ...people),
  };
}

/** Everything at its limit: names and words without end, 200 members, emoji only, scripts from right to left. */
export async function extremeWorld(url: string): Promise<World> {
  const me = await Person.signUp(url, "Maximiliane-Friederike von Hohenlohe-Waldenburg-Schillingsfürst");
  const long = await Person.signUp(url, "Donaudampfschifffahrtselektrizitätenhauptbetriebswerkbauunterbea");
  const hebrew = await Person.signUp(url, "שרה אברהם־כהן");
  const arabic = await Person.signUp(url, "عبد الرحمن بن محمد الخوارزمي");
  const japanese = await Person.signUp(url, "田中さくら");
  const emoji = await Person.signUp(url, "🐸🐸🐸");
  const crowd = await Promise.all(Array.from({ length: 194 }, (_, i) => Person.signUp(url, `Member number ${i + 1}`)));

  const direct = await long.direct(me);
  await long.send(direct, "Rindfleischetikettierungsüberwachungsaufgabenübertragungsgesetz".repeat(6));
  await me.send(direct, `https://example.com/${"a-very-long-path/".repeat(20)}?query=${"x".repeat(120)}`);
  await long.send(direct, Array.from({ length: 60 }, (_, i) => `line ${i + 1} of a message that goes on`).join("\n"));
  await me.send(direct, `\`\`\`\n${"code that is wider than any screen ".repeat(12)}\n\`\`\``);
  const busy = await me.send(direct, "Everybody has an opinion");
  for (const e of ["👍", "❤️", "😂", "🎉", "😮", "😢", "🙏", "🔥", "👀", "🐸", "🚀", "💯", "🧠", "🫶🏽", "👩‍👩‍👧‍👦"]) {
    await long.chat.addReaction({ conversationId: direct, seq: busy.seq, emoji: e });
  }

  const rtl = await arabic.direct(me);
  await arabic.send(rtl, "مرحبا! هل وصلت الوثائق؟ أرسلتها أمس مع كل الملاحق.");
  await me.send(rtl, "نعم، شكرا جزيلا. سأقرأ الملف draft-2.pdf هذا المساء");
  await arabic.send(rtl, "English inside: يعمل Natterjack جيدا على https://example.com/test?x=1 مع الروابط");
  const hebrewChat = await hebrew.direct(me);
  await hebrew.send(hebrewChat, "שלום, נפגשים ב־18:00?");
  const cjk = await japanese.direct(me);
  await japanese.send(cjk, "打ち合わせは午後三時からです。資料は昨日送りました。ご確認ください。".repeat(4));
  const pond = await emoji.direct(me);
  for (const text of ["🐸", "👩‍👩‍👧‍👦👩🏽‍🚀🏳️‍🌈", "🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉🎉"])
    await emoji.send(pond, text);
  await me.send(pond, "❤️");

  const title =
    "The committee for the renaming of committees whose names have become too long to be read out in one breath, second working group";
  const group = await me.group(title.slice(0, 128), [long, hebrew, arabic, japanese, emoji, ...crowd]);
  for (const person of crowd.slice(0, 30)) await person.send(group, "Present.");
  await arabic.send(group, "حاضر");
  await me.sendMany(pond, 120, (n) => `🐸 ${n}`);
  return {
    me,
    direct: { id: direct, title: "Donaudampfschifffahrts" },
    group: { id: group, title: "The committee" },
    more: [
      { id: rtl, name: "right-to-left" },
      { id: pond, name: "emoji-only" },
      { id: cjk, name: "japanese" },
    ],
    close: closeAll(me, long, hebrew, arabic, japanese, emoji, ...crowd),
  };
}

function closeAll(...people: Person[]): () => void {
  return () => {
    for (const person of people) person.close();
  };
}
