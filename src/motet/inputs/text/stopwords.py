"""Function words of seven languages: short lists, made here, without negations, which tell what a text means.

An apostrophe divides words: "l'été" is l and été.
"""

from typing import Literal, get_args

Language = Literal["de", "en", "es", "fr", "it", "nl", "pt"]
StopWords = Literal["none", "de", "en", "es", "fr", "it", "nl", "pt"] | tuple[str, ...]


def stop_words_of(given: StopWords) -> frozenset[str]:
    """The words of a language, of several languages where every item is the code of one, or the items themselves.

    >>> "und" in stop_words_of("de"), "und" in stop_words_of(("de", "en")), sorted(stop_words_of(("de", "Motet")))
    (True, True, ['de', 'motet'])
    """
    if given == "none":
        return frozenset()
    codes = (given,) if isinstance(given, str) else given
    if all(code in get_args(Language) for code in codes):
        return frozenset(word for code in codes for word in WORDS[code].split())
    return frozenset(map(str.lower, codes))


WORDS: dict[str, str] = {
    "en": """
        a an the this that these those i me my mine myself we us our ours ourselves you your yours yourself
        yourselves he him his himself she her hers herself it its itself they them their theirs themselves who whom
        whose which what and or but nor so yet if then than as because while although though unless until since
        whether of in on at by for with from to into onto out off over under above below about against between
        through during before after within without upon toward towards up down am is are was were be been being have
        has had having do does did doing done will would shall should can could may might must there here where when
        why how all any both each every either neither some such other another same own just also too very again
        once s d m ll re ve
        """,
    "de": """
        der die das den dem des ein eine einen einem einer eines dieser diese dieses diesen diesem jener jene jenes
        ich mich mir du dich dir er ihn ihm sie ihr ihnen es wir uns euch sich man mein meine meinen meinem meiner
        dein deine deinen sein seine seinen seinem seiner ihre ihren ihrem ihrer unser unsere unseren euer eure und
        oder aber sondern denn weil dass daß ob wenn als wie während obwohl damit sowie sowohl in im ins an am ans
        auf aus bei beim bis durch für gegen mit nach ohne über um unter von vom vor zu zum zur zwischen seit bin
        bist ist sind seid war waren warst wart gewesen habe hast hat haben habt hatte hatten gehabt werde wirst
        wird werden werdet wurde wurden worden kann kannst können könnt konnte konnten muss müssen musste soll
        sollen sollte will wollen wollte darf dürfen durfte mag möchte hier da dort dann nun so auch nur noch schon
        sehr wer wen wem was wo wann warum welche welcher welches alle alles jeder jede jedes beide einige andere
        anderen doch mal ja
        """,
    "fr": """
        le la les l un une des du de d au aux ce cet cette ces c je j me m moi tu te t toi il elle on se s soi nous
        vous ils elles eux lui leur leurs mon ma mes ton ta tes son sa ses notre nos votre vos y en et ou mais donc
        or ni car que qu qui quoi dont où si comme lorsque puisque quand parce à dans par pour sur sous avec sans
        entre vers chez depuis pendant avant après contre jusque suis es est sommes êtes sont étais était étions
        étaient été être sera seront serait soit ai as a avons avez ont avais avait avaient eu avoir aura auront
        aurait fait faire peut peuvent doit doivent quel quelle quels quelles tout toute tous toutes autre autres
        même mêmes aussi très plus ici là alors ainsi
        """,
    "es": """
        el la los las lo un una unos unas al del este esta estos estas ese esa esos esas aquel aquella esto eso yo
        me mí tú te ti él ella ello usted ustedes nosotros nosotras nos vosotros os ellos ellas le les se sí mi mis
        tu tus su sus nuestro nuestra nuestros nuestras vuestro vuestra y e o u pero sino ni que si porque aunque
        como cuando donde mientras pues a ante bajo con contra de desde durante en entre hacia hasta para por según
        sin sobre tras soy eres es somos son era eras eran fue fueron ser sido siendo sea estoy estás está estamos
        están estaba estaban estar he has ha hemos han había habían haber hay tengo tiene tienen tenía puede pueden
        qué quién quiénes cuál cuáles cómo cuándo dónde cuyo todo toda todos todas otro otra otros otras mismo misma
        muy más también ya aquí allí así
        """,
    "it": """
        il lo la i gli le l un uno una del dello della dei degli delle al allo alla ai agli alle dal dallo dalla dai
        dagli dalle nel nello nella nei negli nelle sul sullo sulla sui sugli sulle col questo questa questi queste
        quello quella quelli quelle quel io me mi tu te ti lui lei egli ella esso essa noi ci voi vi loro essi si ne
        mio mia miei mie tuo tua suo sua suoi sue nostro nostra vostro vostra e ed o od ma però né che se perché
        come quando dove mentre poiché di a da in con su per tra fra c d sono sei è siamo siete era erano eri essere
        stato stata stati state sia sarà ho hai ha abbiamo avete hanno aveva avevano avere avuto può possono deve
        devono chi cui quale quali quanto tutto tutta tutti tutte altro altra altri altre stesso stessa anche molto
        più già qui lì così
        """,
    "nl": """
        de het een dit dat deze die ik me mij jij je jou u hij hem zij ze haar wij we ons jullie hun hen zich men
        mijn jouw uw zijn onze en of maar want omdat als dan toen terwijl hoewel zodat dus noch in op aan bij van
        voor met naar uit over onder door tot tegen tussen om na te zonder sinds tijdens ben bent is was waren
        geweest heb hebt heeft hebben had hadden gehad word wordt worden werd werden zal zult zullen zou zouden kan
        kunt kunnen kon konden moet moeten moest mag mogen wil willen wilde er hier daar waar wie wat welke wanneer
        waarom hoe ook nog al alle alles ander andere zelf zo zeer reeds toch wel
        """,
    "pt": """
        o a os as um uma uns umas do da dos das no na nos nas ao à aos às pelo pela pelos pelas num numa este esta
        estes estas esse essa esses essas aquele aquela isto isso aquilo eu me mim tu te ti ele ela você vocês nós
        vós eles elas lhe lhes se si meu minha meus minhas teu tua seu sua seus suas nosso nossa nossos nossas e ou
        mas nem que porque como quando onde enquanto embora pois de em por para com sem sob sobre entre até desde
        contra durante após ante sou és é somos são era eram foi foram ser sido sendo seja estou está estamos estão
        estava estavam estar tenho tem temos têm tinha tinham ter há havia pode podem deve quem qual quais cujo tudo
        todo toda todos todas outro outra outros outras mesmo mesma também muito mais já aqui ali assim
        """,
}
