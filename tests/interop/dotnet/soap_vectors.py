"""Messages recorded between a Mono 6.8 client and server on HttpChannel, their bodies as they were.

Namespaces are put together from their parts, since lines are not as long as they are.
"""

SOAP = "http://schemas.xmlsoap.org/soap"
CLR = "http://schemas.microsoft.com/clr"
SHARED = f"{CLR}/nsassem/Shop/shared%2C%20Version%3D0.0.0.0%2C%20Culture%3Dneutral%2C%20PublicKeyToken%3Dnull"
PROPERTIES = f"{CLR}/soap/messageProperties"
MSCORLIB = "mscorlib, Version=4.0.0.0, Culture=neutral, PublicKeyToken=b77a5c561934e089"
START = (
    '<SOAP-ENV:Envelope xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    f'xmlns:xsd="http://www.w3.org/2001/XMLSchema" xmlns:SOAP-ENC="{SOAP}/encoding/" xmlns:SOAP-ENV="{SOAP}/envelope/" '
    f'xmlns:clr="{CLR}/" SOAP-ENV:encodingStyle="{SOAP}/encoding/">\n'
)
END = "</SOAP-ENV:Envelope>"
#: A generic type's name is cut at its last dot, wherever that is.
CUT = "_x0030__x002C__x0020_Culture_x003D_neutral_x002C__x0020_PublicKeyToken_x003D_"


def recorded(body: str, header: str = "") -> bytes:
    head = f"  <SOAP-ENV:Header>\n{header.lstrip(chr(10))}  </SOAP-ENV:Header>\n" if header else ""
    return f"{START}{head}  <SOAP-ENV:Body>\n{body.lstrip(chr(10))}  </SOAP-ENV:Body>\n{END}".encode()


SET_VALUE = recorded(f"""
    <i2:SetValue id="ref-1" xmlns:i2="{CLR}/nsassem/RemoteObjectDef/shared">
      <value id="ref-2" xsi:type="SOAP-ENC:string">000</value>
    </i2:SetValue>
""")
VOID = recorded(f"""
    <i2:SetValueResponse id="ref-1" xmlns:i2="{CLR}/nsassem/RemoteObjectDef/shared">
    </i2:SetValueResponse>
""")
GET_VALUE = recorded(f"""
    <i2:GetValue id="ref-1" xmlns:i2="{CLR}/nsassem/RemoteObjectDef/shared">
    </i2:GetValue>
""")
ZERO = recorded(f"""
    <i2:EchoString id="ref-1" xmlns:i2="{CLR}/nsassem/Shop.IValues/shared">
      <v id="ref-2" xsi:type="SOAP-ENC:string">a&#x0;b</v>
    </i2:EchoString>
""")
JOIN = recorded(
    f"""
    <i2:Join id="ref-1" xmlns:i2="{CLR}/nsassem/Shop.ITalk/shared">
      <a id="ref-2" xsi:type="SOAP-ENC:string">a</a>
      <b xsi:type="xsd:int">5</b>
    </i2:Join>
""",
    f"""
    <h4:__MethodSignature SOAP-ENC:root="1" xsi:type="SOAP-ENC:methodSignature" xmlns:h4="{PROPERTIES}">"""
    """SOAP-ENC:string xsd:int</h4:__MethodSignature>
""",
)
DIVIDE = recorded(f"""
    <i2:Divide id="ref-1" xmlns:i2="{CLR}/nsassem/Shop.ITalk/shared">
      <a xsi:type="xsd:int">17</a>
      <b xsi:type="xsd:int">5</b>
    </i2:Divide>
""")
DIVIDED = recorded(f"""
    <i2:DivideResponse id="ref-1" xmlns:i2="{CLR}/nsassem/Shop.ITalk/shared">
      <return xsi:type="xsd:int">3</return>
      <rest xsi:type="xsd:int">2</rest>
    </i2:DivideResponse>
""")
IN_CONTEXT = recorded(
    f"""
    <i2:EchoInt id="ref-9" xmlns:i2="{CLR}/nsassem/Shop.IValues/shared">
      <v xsi:type="xsd:int">5</v>
    </i2:EchoInt>
""",
    f"""
    <h4:__CallContext SOAP-ENC:root="1" href="#ref-1" xmlns:h4="{PROPERTIES}" />
    <a1:LogicalCallContext id="ref-1" xmlns:a1="{CLR}/ns/System.Runtime.Remoting.Messaging">
      <user id="ref-2">ann</user>
    </a1:LogicalCallContext>
""",
)
PERSON = recorded(f"""
    <i2:EchoPerson id="ref-1" xmlns:i2="{CLR}/nsassem/Shop.IValues/shared">
      <v href="#ref-2" />
    </i2:EchoPerson>
    <a1:Person id="ref-2" xmlns:a1="{SHARED}">
      <_x003C_Name_x003E_k__BackingField id="ref-3">Ann</_x003C_Name_x003E_k__BackingField>
      <_x003C_Age_x003E_k__BackingField>41</_x003C_Age_x003E_k__BackingField>
      <_x003C_Friend_x003E_k__BackingField href="#ref-4" />
      <_x003C_Children_x003E_k__BackingField href="#ref-5" />
      <_x003C_Favourite_x003E_k__BackingField>Green</_x003C_Favourite_x003E_k__BackingField>
      <_x003C_Home_x003E_k__BackingField xsi:type="a1:Point">
        <X>5</X>
        <Y>6</Y>
      </_x003C_Home_x003E_k__BackingField>
    </a1:Person>
    <a1:Person id="ref-4" xmlns:a1="{SHARED}">
      <_x003C_Name_x003E_k__BackingField id="ref-6">Bob</_x003C_Name_x003E_k__BackingField>
      <_x003C_Age_x003E_k__BackingField>12</_x003C_Age_x003E_k__BackingField>
      <_x003C_Friend_x003E_k__BackingField href="#ref-2" />
      <_x003C_Children_x003E_k__BackingField xsi:null="1" />
      <_x003C_Favourite_x003E_k__BackingField>Red</_x003C_Favourite_x003E_k__BackingField>
      <_x003C_Home_x003E_k__BackingField xsi:null="1" />
    </a1:Person>
    <a2:{CUT}null_x005D__x005D_ id="ref-5" """
f"""xmlns:a2="{CLR}/ns/System.Collections.Generic.List`1[[Shop.Person, shared, Version=0.0.0">
      <_items href="#ref-7" />
      <_size>2</_size>
      <_version>2</_version>
    </a2:{CUT}null_x005D__x005D_>
    <SOAP-ENC:Array id="ref-7" xmlns:a1="{SHARED}" SOAP-ENC:arrayType="a1:Person[4]">
      <item href="#ref-4" />
      <item href="#ref-4" />
    </SOAP-ENC:Array>
""")  # fmt: skip
DICTIONARY = recorded(f"""
    <i2:EchoDictionary id="ref-1" xmlns:i2="{CLR}/nsassem/Shop.IValues/shared">
      <v href="#ref-2" />
    </i2:EchoDictionary>
    <a1:{CUT}b77a5c561934e089_x005D__x005D_ id="ref-2" xmlns:a1="{CLR}/ns/System.Collections.Generic."""
f"""Dictionary`2[[System.String, {MSCORLIB}],[System.Int32, mscorlib, Version=4.0.0">
      <Version>2</Version>
      <Comparer href="#ref-3" />
      <HashSize>3</HashSize>
      <KeyValuePairs href="#ref-4" />
    </a1:{CUT}b77a5c561934e089_x005D__x005D_>
    <a2:{CUT}b77a5c561934e089_x005D__x005D_ id="ref-3" xmlns:a2="{CLR}/ns/System.Collections.Generic."""
f"""GenericEqualityComparer`1[[System.String, mscorlib, Version=4.0.0">
    </a2:{CUT}b77a5c561934e089_x005D__x005D_>
    <SOAP-ENC:Array id="ref-4" xmlns:a3="{CLR}/ns/System.Collections.Generic."""
f"""KeyValuePair`2[[System.String, {MSCORLIB}],[System.Int32, mscorlib, Version=4.0.0" """
f"""SOAP-ENC:arrayType="a3:{CUT}b77a5c561934e089_x005D__x005D_[2]">
      <item>
        <key id="ref-5">a</key>
        <value>1</value>
      </item>
      <item>
        <key id="ref-6">b</key>
        <value>2</value>
      </item>
    </SOAP-ENC:Array>
""")  # fmt: skip
TABLE = recorded(f"""
    <i2:EchoTable id="ref-1" xmlns:i2="{CLR}/nsassem/Shop.IValues/shared">
      <v href="#ref-2" />
    </i2:EchoTable>
    <a1:Hashtable id="ref-2" xmlns:a1="{CLR}/ns/System.Collections">
      <LoadFactor>0.720000029</LoadFactor>
      <Version>4</Version>
      <Comparer xsi:null="1" />
      <HashCodeProvider xsi:null="1" />
      <HashSize>7</HashSize>
      <Keys href="#ref-3" />
      <Values href="#ref-4" />
    </a1:Hashtable>
    <SOAP-ENC:Array id="ref-3" SOAP-ENC:arrayType="xsd:anyType[3]">
      <item id="ref-5" xsi:type="SOAP-ENC:string">a</item>
      <item id="ref-6" xsi:type="SOAP-ENC:string">n</item>
      <item xsi:type="xsd:int">2</item>
    </SOAP-ENC:Array>
    <SOAP-ENC:Array id="ref-4" SOAP-ENC:arrayType="xsd:anyType[3]">
      <item xsi:type="xsd:int">1</item>
      <item xsi:null="1" />
      <item id="ref-7" xsi:type="SOAP-ENC:string">b</item>
    </SOAP-ENC:Array>
""")
WORDS = recorded(f"""
    <i2:EchoWords id="ref-1" xmlns:i2="{CLR}/nsassem/Shop.IValues/shared">
      <v href="#ref-2" />
    </i2:EchoWords>
    <SOAP-ENC:Array id="ref-2" SOAP-ENC:arrayType="SOAP-ENC:string[2,2]">
      <item id="ref-3">a</item>
      <item id="ref-4">b</item>
      <item xsi:null="1" />
      <item href="#ref-3" />
    </SOAP-ENC:Array>
""")
BYTES = recorded(f"""
    <i2:EchoBytes id="ref-1" xmlns:i2="{CLR}/nsassem/Shop.IValues/shared">
      <v href="#ref-2" />
    </i2:EchoBytes>
    <SOAP-ENC:Array id="ref-2" xsi:type="SOAP-ENC:base64">AH//</SOAP-ENC:Array>
""")
SOLD_OUT = recorded(f"""
    <SOAP-ENV:Fault id="ref-1">
      <faultcode id="ref-2">SOAP-ENV:Server</faultcode>
      <faultstring id="ref-3"> **** Shop.OutOfStock - no more than 3</faultstring>
      <detail href="#ref-4" />
    </SOAP-ENV:Fault>
    <a1:ServerFault id="ref-4" xmlns:a1="{CLR}/ns/System.Runtime.Serialization.Formatters">
      <exceptionType xsi:null="1" />
      <message xsi:null="1" />
      <stackTrace xsi:null="1" />
      <exception href="#ref-5" />
    </a1:ServerFault>
    <a2:OutOfStock id="ref-5" xmlns:a2="{SHARED}">
      <ClassName id="ref-6">Shop.OutOfStock</ClassName>
      <Message id="ref-7">no more than 3</Message>
      <Data xsi:null="1" />
      <InnerException xsi:null="1" />
      <HelpURL xsi:null="1" />
      <StackTraceString id="ref-8">  at Talk.Sell (System.Int32 count) in &lt;172ffd31&gt;:0 </StackTraceString>
      <RemoteStackTraceString xsi:null="1" />
      <RemoteStackIndex>0</RemoteStackIndex>
      <ExceptionMethod xsi:null="1" />
      <HResult>-2146233088</HResult>
      <Source id="ref-9">server</Source>
      <Left>3</Left>
    </a2:OutOfStock>
""")
NEW_COUNTER = recorded(f"""
    <i2:NewCounterResponse id="ref-1" xmlns:i2="{CLR}/nsassem/Shop.ITalk/shared">
      <return href="#ref-2" />
    </i2:NewCounterResponse>
    <a1:ObjRef id="ref-2" xmlns:a1="{CLR}/ns/System.Runtime.Remoting">
      <uri id="ref-3">00ad810b_38c0_4d25_9dcf_34a9cbb87d00/27f329_2.rem</uri>
      <typeInfo href="#ref-4" />
      <envoyInfo xsi:null="1" />
      <channelInfo href="#ref-5" />
      <objrefFlags>0</objrefFlags>
    </a1:ObjRef>
    <a1:TypeInfo id="ref-4" xmlns:a1="{CLR}/ns/System.Runtime.Remoting">
      <serverType id="ref-6">Counter, server, Version=0.0.0.0, Culture=neutral, PublicKeyToken=null</serverType>
      <serverHierarchy href="#ref-7" />
      <interfacesImplemented href="#ref-8" />
    </a1:TypeInfo>
    <a1:ChannelInfo id="ref-5" xmlns:a1="{CLR}/ns/System.Runtime.Remoting">
      <channelData href="#ref-9" />
    </a1:ChannelInfo>
    <SOAP-ENC:Array id="ref-7" SOAP-ENC:arrayType="SOAP-ENC:string[0]">
    </SOAP-ENC:Array>
    <SOAP-ENC:Array id="ref-8" SOAP-ENC:arrayType="SOAP-ENC:string[1]">
      <item id="ref-10">Shop.ICounter, shared, Version=0.0.0.0, Culture=neutral, PublicKeyToken=null</item>
    </SOAP-ENC:Array>
    <SOAP-ENC:Array id="ref-9" SOAP-ENC:arrayType="xsd:anyType[2]">
      <item href="#ref-11" />
      <item href="#ref-12" />
    </SOAP-ENC:Array>
    <a2:CrossAppDomainData id="ref-11" xmlns:a2="{CLR}/ns/System.Runtime.Remoting.Channels">
      <_ContextID xsi:type="xsd:int">0</_ContextID>
      <_DomainID>0</_DomainID>
      <_processGuid id="ref-13">218404ab-24c2-4958-959a-39ae405ca0af</_processGuid>
    </a2:CrossAppDomainData>
    <a2:ChannelDataStore id="ref-12" xmlns:a2="{CLR}/ns/System.Runtime.Remoting.Channels">
      <_channelURIs href="#ref-14" />
      <_extraData xsi:null="1" />
    </a2:ChannelDataStore>
    <SOAP-ENC:Array id="ref-14" SOAP-ENC:arrayType="SOAP-ENC:string[1]">
      <item id="ref-15">http://127.0.0.1:11495</item>
    </SOAP-ENC:Array>
""")
CALLS = (SET_VALUE, GET_VALUE, ZERO, JOIN, DIVIDE, IN_CONTEXT, PERSON, DICTIONARY, TABLE, WORDS, BYTES)
RETURNS = (VOID, DIVIDED, SOLD_OUT, NEW_COUNTER)
